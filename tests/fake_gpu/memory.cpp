#include <c10/util/Exception.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <stdexcept>

#include "fake_gpu.h"

namespace gaggle::fake_gpu {
namespace {

// Data ends where its pages end, but for what alignment asks: who reads on behind it meets a page that is never opened.
constexpr size_t alignment = 16;

struct Region {
  char* pages = nullptr;
  size_t length = 0;  // of the pages that can be opened; one more behind them stays shut
  size_t bytes = 0;   // that were asked for
  int open = 0;
};

struct Memory {
  std::mutex mutex;
  std::map<const char*, Region> regions;  // by what allocate returned
  int64_t held = 0, most = 0;
};

Memory& memory() {
  static auto* all = new Memory;  // tensors of static objects are released after everything else
  return *all;
}

size_t page_bytes() { return static_cast<size_t>(::sysconf(_SC_PAGESIZE)); }

Region& region_of(Memory& all, const void* p) {
  const auto* at = static_cast<const char*>(p);
  auto found = all.regions.upper_bound(at);
  if (found == all.regions.begin() || at > (--found)->first + found->second.bytes)
    throw std::logic_error("a kernel or a copy on the device was given memory of the host");
  return found->second;
}

void protect(const Region& region, int how) {
  if (::mprotect(region.pages, region.length, how) != 0) throw std::runtime_error("mprotect failed");
}

}  // namespace

int64_t all_bytes() {
  static const char* given = std::getenv("GAGGLE_FAKE_GPU_BYTES");
  return given ? std::atoll(given) : int64_t{80} << 30;
}

void* allocate(size_t bytes) {
  TORCH_CHECK_WITH(OutOfMemoryError, bytes_held() + static_cast<int64_t>(bytes) <= all_bytes(),
                   "fake GPU: out of memory");
  const size_t page = page_bytes(), data = (bytes + alignment - 1) / alignment * alignment;
  Region region;
  region.bytes = bytes;
  region.length = (data + page - 1) / page * page;
  void* pages = ::mmap(nullptr, region.length + page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (pages == MAP_FAILED) throw std::bad_alloc();
  region.pages = static_cast<char*>(pages);
  char* base = region.pages + region.length - data;
  Memory& all = memory();
  const std::lock_guard lock(all.mutex);
  all.regions.emplace(base, region);
  all.held += static_cast<int64_t>(bytes);
  all.most = std::max(all.most, all.held);
  return base;
}

void release(void* base) {
  Memory& all = memory();
  const std::lock_guard lock(all.mutex);
  const auto found = all.regions.find(static_cast<const char*>(base));
  ::munmap(found->second.pages, found->second.length + page_bytes());
  all.held -= static_cast<int64_t>(found->second.bytes);
  all.regions.erase(found);
}

void copy(void* to, const void* from, size_t bytes) {
  const Opened source(from), destination(to);
  std::memcpy(to, from, bytes);
}

int64_t bytes_held() {
  const std::lock_guard lock(memory().mutex);
  return memory().held;
}

int64_t most_bytes_held() {
  const std::lock_guard lock(memory().mutex);
  return memory().most;
}

void reset_most_bytes_held() {
  const std::lock_guard lock(memory().mutex);
  memory().most = memory().held;
}

Opened::Opened(const void* p) : p_(p) {
  if (!p) return;
  const std::lock_guard lock(memory().mutex);
  Region& region = region_of(memory(), p);
  if (region.open++ == 0 && region.length > 0) protect(region, PROT_READ | PROT_WRITE);
}

Opened::~Opened() {
  if (!p_) return;
  const std::lock_guard lock(memory().mutex);
  Region& region = region_of(memory(), p_);
  if (--region.open == 0 && region.length > 0) protect(region, PROT_NONE);
}

}  // namespace gaggle::fake_gpu
