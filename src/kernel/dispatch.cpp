#include "kernel/dispatch.h"

#include <c10/core/impl/VirtualGuardImpl.h>

#include "kernel/cuda_kernels.h"

namespace gaggle {
namespace {

bool plain(const at::Tensor& x) {
  return (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16) && x.is_contiguous();
}

#ifdef GAGGLE_WITH_CUDA
constexpr CudaKernels table = {rms_norm_cuda, rms_norm_backward_cuda, gated_cuda, gated_backward_cuda, rotary_cuda,
                               gpus_cuda,     gpu_link_cuda};
const CudaKernels* const built = &table;
#else
const CudaKernels* const built = nullptr;
#endif

}  // namespace

bool on_cpu(const at::Tensor& x) { return x.is_cpu() && plain(x); }

const CudaKernels* cuda_kernels(const at::Tensor& x) { return x.is_cuda() && plain(x) ? built : nullptr; }

std::string gpu_name(at::Device device) {
  const std::vector<GpuFacts> gpus = visible_gpus();
  const auto index = static_cast<size_t>(device.index());
  return index < gpus.size() ? gpus[index].name : "gpu";
}

std::vector<GpuFacts> visible_gpus() { return built ? built->gpus() : std::vector<GpuFacts>(); }

GpuLink gpu_link(int a, int b) { return built ? built->gpu_link(a, b) : GpuLink::through_host; }

void* current_stream(at::Device device) {
  return c10::impl::VirtualGuardImpl(at::kCUDA).getStream(device).native_handle();
}

LaunchStream::LaunchStream(const at::Tensor& x) : device_(x.device()), handle_(current_stream(x.device())) {}

}  // namespace gaggle
