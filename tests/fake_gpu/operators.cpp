// Operators: those that make and view memory are here, all others run on copies on the CPU (LibTorch's own fallback).
#include "operators.h"

#include <ATen/ATen.h>
#include <ATen/EmptyTensor.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/unfold_native.h>
#include <ATen/ops/view_native.h>
#include <torch/library.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>

#include "device.h"
#include "fake_gpu.h"

namespace gaggle::fake_gpu {
namespace {

std::atomic<int64_t> launches = 0, waits = 0, copies = 0;
std::mutex names_mutex;
std::map<std::string, int64_t> names;
thread_local bool inside_an_operator = false;

const c10::DispatchKeySet keys{c10::DispatchKey::PrivateUse1};

void note(const std::string& name) {
  const std::lock_guard lock(names_mutex);
  ++names[name];
}

// Kernels that CUDA launches for an operator, where they are many: under deterministic algorithms what scatters sorts first.
int64_t launches_of(const std::string& name) {
  static const std::map<std::string, int64_t> many = {
      {"aten::index_add_", 12}, {"aten::index_add", 12},  {"aten::index_copy_", 12},      {"aten::index_copy", 12},
      {"aten::scatter_", 12},   {"aten::scatter", 12},    {"aten::scatter_add_", 12},     {"aten::scatter_add", 12},
      {"aten::index_put_", 12}, {"aten::index_put", 12},  {"aten::_index_put_impl_", 12}, {"aten::sort", 4},
      {"aten::argsort", 4},     {"aten::cumsum", 2},      {"aten::cumsum_", 2},           {"aten::topk", 3},
      {"aten::bincount", 3},    {"aten::nonzero", 3},     {"aten::masked_select", 4},     {"aten::unique_dim", 8},
      {"aten::_unique2", 8},    {"aten::masked_fill", 2}, {"aten::logsumexp", 4}};
  const auto found = many.find(name);
  return found == many.end() ? 1 : found->second;
}

// The shape of what comes out is known to the device alone: the host waits for it.
bool shape_from_data(const std::string& name) {
  static const std::vector<std::string> all = {"aten::nonzero",  "aten::masked_select", "aten::bincount",
                                               "aten::_unique2", "aten::unique_dim",    "aten::repeat_interleave"};
  return std::ranges::find(all, name) != all.end();
}

void fallback(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const std::string& name = op.operator_name().name;
  if (!inside_an_operator && shape_from_data(name)) ++waits;
  const Operator running(name, launches_of(name));
  at::native::cpu_fallback(op, stack, /*error_on_views=*/true);
}

at::Tensor empty(c10::IntArrayRef size, std::optional<c10::ScalarType> dtype, std::optional<c10::Layout>,
                 std::optional<c10::Device> device, std::optional<bool>, std::optional<c10::MemoryFormat> format) {
  const c10::DeviceGuard there(device.value_or(c10::Device(c10::kPrivateUse1)));
  return at::detail::empty_generic(size, device_allocator(), keys, dtype.value_or(at::kFloat), format);
}

at::Tensor empty_strided(c10::IntArrayRef size, c10::IntArrayRef stride, std::optional<c10::ScalarType> dtype,
                         std::optional<c10::Layout>, std::optional<c10::Device> device, std::optional<bool>) {
  const c10::DeviceGuard there(device.value_or(c10::Device(c10::kPrivateUse1)));
  return at::detail::empty_strided_generic(size, stride, device_allocator(), keys, dtype.value_or(at::kFloat));
}

// The same elements as the CPU sees them; on the device, while they are open.
at::Tensor as_host(const at::Tensor& x) {
  return at::from_blob(x.data_ptr(), x.sizes(), x.strides(), x.options().device(at::kCPU));
}

const void* device_memory(const at::Tensor& x) { return x.is_cpu() || x.numel() == 0 ? nullptr : x.storage().data(); }

at::Tensor copy_from(const at::Tensor& from, const at::Tensor& to, bool non_blocking) {
  if (!inside_an_operator && to.numel() > 0) {
    const bool across = from.is_cpu() || to.is_cpu();
    note(across ? to.is_cpu() ? "copy to host" : "copy to device" : "aten::copy_");
    ++(across ? copies : launches);
    if (across && !(non_blocking && is_pinned((from.is_cpu() ? from : to).data_ptr()))) ++waits;
  }
  if (to.numel() == 0) return to;
  const Opened source(device_memory(from)), destination(device_memory(to));
  as_host(to).copy_(as_host(from));
  return to;
}

const at::Tensor& resize_(const at::Tensor& self, c10::IntArrayRef size, std::optional<c10::MemoryFormat>) {
  const c10::DeviceGuard there(self.device());
  auto* impl = self.unsafeGetTensorImpl();
  const auto wanted =
      static_cast<size_t>((impl->storage_offset() + c10::multiply_integers(size)) * self.element_size());
  c10::StorageImpl* storage = impl->unsafe_storage().unsafeGetStorageImpl();
  if (wanted > storage->nbytes()) {
    c10::DataPtr grown = device_allocator()->allocate(wanted);
    if (storage->nbytes() > 0) device_allocator()->copy_data(grown.mutable_get(), storage->data(), storage->nbytes());
    storage->set_data_ptr_noswap(std::move(grown));
    storage->set_nbytes(wanted);
  }
  impl->set_sizes_contiguous(size);
  return self;
}

at::Tensor copy_from_and_resize(const at::Tensor& from, const at::Tensor& to) {
  if (to.sizes() != from.sizes()) resize_(to, from.sizes(), std::nullopt);
  return copy_from(from, to, false);
}

c10::Scalar local_scalar(const at::Tensor& self) {
  if (!inside_an_operator) {
    note("item");
    ++copies;
    ++waits;
  }
  const Opened opened(device_memory(self));
  return as_host(self).item();
}

// Products of bf16 whose sums stay fp32, which LibTorch has on CUDA alone.
at::Tensor& wide_addmm(const at::Tensor& self, const at::Tensor& left, const at::Tensor& right, at::ScalarType type,
                       const at::Scalar& beta, const at::Scalar& alpha, at::Tensor& out) {
  TORCH_CHECK(type == out.scalar_type() && self.scalar_type() == type && left.scalar_type() == right.scalar_type());
  const Operator running("aten::addmm.dtype", 1);
  const at::Tensor product = at::mm(to_host(left).to(type), to_host(right).to(type));
  out.copy_(to_host(self) * beta + product * alpha);
  return out;
}

at::Tensor wide_mm(const at::Tensor& left, const at::Tensor& right, at::ScalarType type) {
  TORCH_CHECK(type == at::kFloat && left.scalar_type() == right.scalar_type());
  const Operator running("aten::mm.dtype", 1);
  return to_device(at::mm(to_host(left).to(type), to_host(right).to(type)), left);
}

at::Tensor wide_bmm(const at::Tensor& left, const at::Tensor& right, at::ScalarType type) {
  TORCH_CHECK(type == at::kFloat && left.scalar_type() == right.scalar_type());
  const Operator running("aten::bmm.dtype", 1);
  return to_device(at::bmm(to_host(left).to(type), to_host(right).to(type)), left);
}

// One launch on CUDA, of what it takes there; LibTorch's own for other devices waits, and launches for every group.
at::Tensor grouped_mm(const at::Tensor& self, const at::Tensor& mat2, const std::optional<at::Tensor>& ends,
                      const std::optional<at::Tensor>& bias, std::optional<at::ScalarType> type) {
  const auto aligned = [](const at::Tensor& x) {
    const int64_t rows = x.stride(-2), columns = x.stride(-1);
    return x.scalar_type() == at::kBFloat16 && ((columns == 1 && rows % 8 == 0) || (rows == 1 && columns % 8 == 0));
  };
  TORCH_CHECK(aligned(self) && aligned(mat2), "_grouped_mm on CUDA: bf16 whose rows or columns begin at 16 bytes");
  TORCH_CHECK(ends && ends->scalar_type() == at::kInt && !bias);
  const Operator running("aten::_grouped_mm", 1);
  return to_device(at::_grouped_mm(to_host(self), to_host(mat2), to_host(*ends), {}, type), self);
}

}  // namespace

Operator::Operator(const std::string& name, int64_t many) : outermost_(!inside_an_operator) {
  if (outermost_) {
    note(name);
    launches += many;
  }
  inside_an_operator = true;
}

Operator::~Operator() {
  if (outermost_) inside_an_operator = false;
}

at::Tensor to_host(const at::Tensor& x) { return x.to(at::kCPU); }
at::Tensor to_device(const at::Tensor& x, const at::Tensor& like) { return x.to(like.device()); }

Counts counted() { return {launches, waits, copies}; }

Counts operator-(const Counts& later, const Counts& earlier) {
  return {later.launches - earlier.launches, later.waits - earlier.waits, later.copies - earlier.copies};
}

std::string take_list_of_operators() {
  std::map<std::string, int64_t> taken;
  {
    const std::lock_guard lock(names_mutex);
    taken.swap(names);
  }
  std::vector<std::pair<int64_t, std::string>> order;
  for (const auto& [name, count] : taken) order.emplace_back(-count, name);
  std::ranges::sort(order);
  std::string text;
  for (const auto& [count, name] : order) text += std::to_string(-count) + " " + name + "\n";
  return text;
}

void count_launches(int64_t more) {
  launches += more;
  note("a kernel of gaggle");
}

void count_wait() { ++waits; }

TORCH_LIBRARY_IMPL(_, PrivateUse1, library) {
  library.fallback(torch::CppFunction::makeFromBoxedFunction<&fallback>());
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  library.impl("empty.memory_format", empty);
  library.impl("empty_strided", empty_strided);
  library.impl("as_strided", at::native::as_strided_tensorimpl);
  library.impl("view", at::native::view);
  library.impl("view.dtype", at::native::view_dtype);
  library.impl("_reshape_alias", at::native::_reshape_alias);
  library.impl("unfold", at::native::unfold);
  library.impl("resize_", resize_);
  library.impl("_copy_from", copy_from);
  library.impl("_copy_from_and_resize", copy_from_and_resize);
  library.impl("_local_scalar_dense", local_scalar);
  library.impl("addmm.dtype_out", wide_addmm);
  library.impl("mm.dtype", wide_mm);
  library.impl("bmm.dtype", wide_bmm);
  library.impl("_grouped_mm", grouped_mm);
}

}  // namespace gaggle::fake_gpu
