#include "kernel/row_gate.h"

#include "kernel/cuda_kernels.h"
#include "kernel/dispatch.h"

namespace gaggle {

at::Tensor row_gated(const at::Tensor& all, int64_t r) {
  if (const CudaKernels* cuda = cuda_kernels(all)) {
    const at::Tensor gated = at::empty({all.size(0), r}, all.options());
    cuda->row_gated(all.const_data_ptr(), is_bf16(all), gated.data_ptr(), all.size(0), all.size(1), r,
                    LaunchStream(all));
    return gated;
  }
  const at::Tensor g = widened(all.narrow(1, r, 1)).sigmoid();
  return widened(all.narrow(1, 0, r)).mul(g).to(all.scalar_type());
}

at::Tensor row_gate_backward(const at::Tensor& all, const at::Tensor& e, double scale) {
  const int64_t r = e.size(1);
  if (const CudaKernels* cuda = cuda_kernels(all); cuda && e.is_contiguous()) {
    const at::Tensor out = at::empty_like(all);
    cuda->row_gate_backward(all.const_data_ptr(), e.const_data_ptr(), is_bf16(all), out.data_ptr(), all.size(0),
                            all.size(1), r, static_cast<float>(scale), LaunchStream(all));
    return out;
  }
  const at::Tensor g = widened(all.narrow(1, r, 1)).sigmoid(), wide_e = widened(e).mul(scale);
  const at::Tensor dg = wide_e.mul(all.narrow(1, 0, r)).sum(1, /*keepdim=*/true);
  std::vector<at::Tensor> columns = {wide_e.mul(g), dg.mul_(g).mul_(1 - g)};
  if (all.size(1) > r + 1) columns.push_back(at::zeros({all.size(0), all.size(1) - r - 1}, g.options()));
  return at::cat(columns, 1).to(all.scalar_type());
}

}  // namespace gaggle
