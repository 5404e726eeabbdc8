// What LibTorch asks of a device: an allocator, a guard (current device, streams), and hooks.
#include "device.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include <cstdlib>
#include <mutex>
#include <set>

#include "fake_gpu.h"

namespace gaggle::fake_gpu {
namespace {

thread_local c10::DeviceIndex current = 0;

c10::DeviceIndex device_count() {
  static const char* given = std::getenv("GAGGLE_FAKE_GPUS");
  return given ? static_cast<c10::DeviceIndex>(std::atoi(given)) : c10::DeviceIndex{1};
}

class Allocator final : public c10::DeviceAllocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    void* base = fake_gpu::allocate(bytes);
    return {base, base, release, c10::Device(c10::kPrivateUse1, current)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return release; }
  void copy_data(void* to, const void* from, size_t bytes) const override { fake_gpu::copy(to, from, bytes); }
  bool initialized() override { return true; }
  void emptyCache(c10::MempoolId_t) override {}
  void recordStream(const c10::DataPtr&, c10::Stream) override {}
  c10::CachingDeviceAllocator::DeviceStats getDeviceStats(c10::DeviceIndex) override {
    c10::CachingDeviceAllocator::DeviceStats stats;
    stats.allocated_bytes[0].current = bytes_held();
    stats.allocated_bytes[0].peak = most_bytes_held();
    return stats;
  }
  void resetAccumulatedStats(c10::DeviceIndex) override {}
  void resetPeakStats(c10::DeviceIndex) override { reset_most_bytes_held(); }
  std::pair<size_t, size_t> getMemoryInfo(c10::DeviceIndex) override {
    return {static_cast<size_t>(all_bytes() - bytes_held()), static_cast<size_t>(all_bytes())};
  }
};

// Host memory that a GPU copies by itself.
class Pinned final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    void* base = ::operator new(std::max<size_t>(1, bytes), std::align_val_t(64));
    const std::lock_guard lock(mutex_);
    known_.insert({static_cast<char*>(base), bytes});
    return {base, base, forget, c10::Device(c10::kCPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return forget; }
  void copy_data(void* to, const void* from, size_t bytes) const override { default_copy_data(to, from, bytes); }
  bool has(const void* p) {
    const std::lock_guard lock(mutex_);
    const auto* at = static_cast<const char*>(p);
    auto found = known_.upper_bound({at, SIZE_MAX});
    return found != known_.begin() && at < (--found)->first + found->second;
  }

 private:
  static void forget(void* base);
  std::mutex mutex_;
  std::set<std::pair<const char*, size_t>> known_;
};

Pinned& pinned() {
  static auto* all = new Pinned;
  return *all;
}

void Pinned::forget(void* base) {
  {
    const std::lock_guard lock(pinned().mutex_);
    pinned().known_.erase(pinned().known_.lower_bound({static_cast<char*>(base), 0}));
  }
  ::operator delete(base, std::align_val_t(64));
}

class Guard final : public c10::impl::DeviceGuardImplInterface {
 public:
  c10::DeviceType type() const override { return c10::kPrivateUse1; }
  c10::Device exchangeDevice(c10::Device device) const override {
    const c10::Device before = getDevice();
    setDevice(device);
    return before;
  }
  c10::Device getDevice() const override { return {c10::kPrivateUse1, current}; }
  void setDevice(c10::Device device) const override { current = device.index() < 0 ? current : device.index(); }
  void uncheckedSetDevice(c10::Device device) const noexcept override { setDevice(device); }
  c10::Stream getStream(c10::Device device) const override { return c10::Stream(c10::Stream::DEFAULT, device); }
  c10::Stream getDefaultStream(c10::Device device) const override { return getStream(device); }
  c10::Stream getStreamFromGlobalPool(c10::Device device, bool) const override { return getStream(device); }
  c10::Stream getNewStream(c10::Device device, int) const override { return getStream(device); }
  c10::Stream exchangeStream(c10::Stream stream) const override { return stream; }
  void* getStreamNativeHandle(const c10::Stream) const override { return nullptr; }
  void record(void**, const c10::Stream&, c10::DeviceIndex, c10::EventFlag) const override {}
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  bool queryStream(const c10::Stream&) const override { return true; }
  void synchronizeEvent(void*) const override { count_wait(); }
  void synchronizeStream(const c10::Stream&) const override { count_wait(); }
  void synchronizeDevice(c10::DeviceIndex) const override { count_wait(); }
  void destroyEvent(void*, c10::DeviceIndex) const noexcept override {}
  c10::DeviceIndex deviceCount() const noexcept override { return device_count(); }
};

struct Hooks final : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return device_count() > 0; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  c10::DeviceIndex deviceCount() const override { return device_count(); }
  void setCurrentDevice(c10::DeviceIndex index) const override { current = index; }
  c10::DeviceIndex getCurrentDevice() const override { return current; }
  c10::DeviceIndex exchangeDevice(c10::DeviceIndex index) const override { return std::exchange(current, index); }
  c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex index) const override { return exchangeDevice(index); }
  const at::Generator& getDefaultGenerator(c10::DeviceIndex) const override {
    static const at::Generator one = at::detail::createCPUGenerator();
    return one;
  }
  c10::Device getDeviceFromPtr(void*) const override { return {c10::kPrivateUse1, current}; }
  bool isPinnedPtr(const void* data) const override { return pinned().has(data); }
  c10::Allocator* getPinnedMemoryAllocator() const override { return &pinned(); }
};

bool register_device() {
  c10::register_privateuse1_backend("fake");
  c10::SetAllocator(c10::kPrivateUse1, device_allocator());
  at::RegisterPrivateUse1HooksInterface(new Hooks);
  return true;
}
const bool registered = register_device();

}  // namespace

c10::Allocator* device_allocator() {
  static auto* allocator = new Allocator;
  return allocator;
}

bool is_pinned(const void* p) { return pinned().has(p); }

C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard);

}  // namespace gaggle::fake_gpu
