#include "kernel/row_gate.h"

#include "kernel/cuda_kernels.h"
#include "kernel/dispatch.h"

namespace gaggle {
namespace {

// g [n, 1]. LibTorch's σ of a column and of a copy of it differ in last bits: without a bias there is no copy.
at::Tensor gate_column(const at::Tensor& all, int64_t r, double bias) {
  const at::Tensor column = widened(all.narrow(1, r, 1));
  return (bias == 0 ? column : column.add(bias)).sigmoid();
}

}  // namespace

at::Tensor row_gated(const at::Tensor& all, int64_t r, double bias) {
  if (const CudaKernels* cuda = cuda_kernels(all)) {
    const at::Tensor gated = at::empty({all.size(0), r}, all.options());
    cuda->row_gated(all.const_data_ptr(), is_bf16(all), gated.data_ptr(), all.size(0), all.size(1), r,
                    static_cast<float>(bias), LaunchStream(all));
    return gated;
  }
  return widened(all.narrow(1, 0, r)).mul(gate_column(all, r, bias)).to(all.scalar_type());
}

at::Tensor row_gate_backward(const at::Tensor& all, const at::Tensor& e, double scale, double bias) {
  const int64_t r = e.size(1);
  if (const CudaKernels* cuda = cuda_kernels(all); cuda && e.is_contiguous()) {
    const at::Tensor out = at::empty_like(all);
    cuda->row_gate_backward(all.const_data_ptr(), e.const_data_ptr(), is_bf16(all), out.data_ptr(), all.size(0),
                            all.size(1), r, static_cast<float>(scale), static_cast<float>(bias), LaunchStream(all));
    return out;
  }
  const at::Tensor g = gate_column(all, r, bias), wide_e = widened(e).mul(scale);
  const at::Tensor dg = wide_e.mul(all.narrow(1, 0, r)).sum(1, /*keepdim=*/true);
  std::vector<at::Tensor> columns = {wide_e.mul(g), dg.mul_(g).mul_(1 - g)};
  if (all.size(1) > r + 1) columns.push_back(at::zeros({all.size(0), all.size(1) - r - 1}, g.options()));
  return at::cat(columns, 1).to(all.scalar_type());
}

}  // namespace gaggle
