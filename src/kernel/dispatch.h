// Which implementation a tensor takes: our CPU loops, our CUDA kernels, or plain ATen.
#pragma once

#include <ATen/ATen.h>
#include <c10/core/DeviceGuard.h>

#include <string>

#include "kernel/simd.h"

namespace gaggle {

struct CudaKernels;

// fp32 or bf16 in the CPU's memory, contiguous: our loops read it.
bool on_cpu(const at::Tensor& x);
// The CUDA kernels for a contiguous fp32/bf16 CUDA tensor; nullptr: elsewhere, or built without CUDA.
const CudaKernels* cuda_kernels(const at::Tensor& x);
// What LibTorch's accelerator has: GPUs that this process sees, and one of them by its number.
int gpu_count();
at::Device gpu_at(int index);
// Returns when everything that was asked of a GPU is done; at once on the CPU.
void wait_for(at::Device device);
// "NVIDIA H100"; "gpu" where gaggle sees none, as one built without CUDA.
std::string gpu_name(at::Device device);
// This thread's current CUDA stream there, as a cudaStream_t.
void* current_stream(at::Device device);
// The current CUDA stream of x's device as its native handle; while this lives, that device is the current one,
// which a launch asks for: `kernel(…, LaunchStream(x))`.
class LaunchStream {
 public:
  explicit LaunchStream(const at::Tensor& x);
  operator void*() const { return handle_; }

 private:
  c10::DeviceGuard device_;
  void* handle_;
};

// Raw elements.
inline float* float_of(const at::Tensor& x) { return static_cast<float*>(x.data_ptr()); }
inline bool is_bf16(const at::Tensor& x) { return x.scalar_type() == at::kBFloat16; }
// run(pointer) with the elements of x, which is fp32 or bf16, as float* or Bf16*, the latter as bits.
template <class Run>
void with_elements(const at::Tensor& x, const Run& run) {
  if (is_bf16(x))
    run(static_cast<simd::Bf16*>(x.data_ptr()));
  else
    run(float_of(x));
}

// What sums and parameters' gradients are kept in: fp64 of fp64, else fp32.
inline at::ScalarType sum_type(at::ScalarType values) { return values == at::kDouble ? at::kDouble : at::kFloat; }
// x in that type; x itself where it has it already.
inline at::Tensor widened(const at::Tensor& x) { return x.to(sum_type(x.scalar_type())); }

// Rows per piece of at::parallel_for, for rows of n elements.
inline int64_t grain(int64_t n) { return std::max<int64_t>(1, 32768 / std::max<int64_t>(1, n)); }

}  // namespace gaggle
