#include "kernel/dispatch.h"

#include <ATen/DeviceAccelerator.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include "base/error.h"
#include "kernel/built.h"
#include "kernel/cuda_kernels.h"

namespace gaggle {
namespace {

bool plain(const at::Tensor& x) {
  return (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16) && x.is_contiguous();
}

#ifdef GAGGLE_WITH_CUDA
constexpr CudaKernels table = {
    rms_norm_cuda,  rms_norm_backward_cuda, gated_cuda,   gated_backward_cuda, cross_entropy_cuda,
    row_gated_cuda, row_gate_backward_cuda, dropout_cuda, squared_norms_cuda,  rotary_cuda,
    gpus_cuda,      gpu_link_cuda};
const CudaKernels* built() { return &table; }
#else
const CudaKernels* built() { return nullptr; }
#define GAGGLE_CUDA_VERSION ""
#endif

}  // namespace

bool on_cpu(const at::Tensor& x) { return x.is_cpu() && plain(x); }

const CudaKernels* cuda_kernels(const at::Tensor& x) { return !x.is_cpu() && plain(x) ? built() : nullptr; }

void launch_failed(const char* why) { system_error("a kernel did not start on the GPU ({})", why); }

std::string cuda_version() { return GAGGLE_CUDA_VERSION; }

int gpu_count() { return at::accelerator::deviceCount(); }

at::Device gpu_at(int index) {
  return {at::accelerator::getAccelerator(/*checked=*/true).value(), static_cast<at::DeviceIndex>(index)};
}

void wait_for(at::Device device) {
  if (!device.is_cpu()) at::accelerator::synchronizeDevice(device.index());
}

std::string gpu_name(at::Device device) {
  const std::vector<GpuFacts> gpus = visible_gpus();
  const auto index = static_cast<size_t>(device.index());
  return index < gpus.size() ? gpus[index].name : "gpu";
}

std::vector<GpuFacts> visible_gpus() {
  const CudaKernels* cuda = built();
  return cuda ? cuda->gpus() : std::vector<GpuFacts>();
}

GpuLink gpu_link(int a, int b) {
  const CudaKernels* cuda = built();
  return cuda ? cuda->gpu_link(a, b) : GpuLink::through_host;
}

void* current_stream(at::Device device) {
  return c10::impl::VirtualGuardImpl(device.type()).getStream(device).native_handle();
}

LaunchStream::LaunchStream(const at::Tensor& x) : device_(x.device()), handle_(current_stream(x.device())) {}

}  // namespace gaggle
