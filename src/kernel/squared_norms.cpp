#include "kernel/squared_norms.h"

#include "base/error.h"
#include "kernel/cuda_kernels.h"
#include "kernel/dispatch.h"
#include "kernel/upload.h"

namespace gaggle {
namespace {

// Eight sums side by side, so that one addition need not wait for the last; their order is fixed.
double sum_of_squares(const float* values, int64_t n) {
  double sums[8] = {};
  int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (int j = 0; j < 8; ++j) sums[j] += static_cast<double>(values[i + j]) * static_cast<double>(values[i + j]);
  double total = 0;
  for (; i < n; ++i) total += static_cast<double>(values[i]) * static_cast<double>(values[i]);
  for (const double sum : sums) total += sum;
  return total;
}

}  // namespace

std::vector<double> squared_norms(const at::Tensor& flat, std::span<const int64_t> starts, const at::Tensor& there) {
  GAGGLE_CHECK(flat.scalar_type() == at::kFloat && flat.is_contiguous() && !starts.empty());
  const size_t parts = starts.size() - 1;
  std::vector<double> norms(parts);
  if (flat.is_cpu()) {
    for (size_t i = 0; i < parts; ++i)
      norms[i] = sum_of_squares(flat.const_data_ptr<float>() + starts[i], starts[i + 1] - starts[i]);
    return norms;
  }
  const CudaKernels* cuda = cuda_kernels(flat);
  GAGGLE_CHECK(cuda, "a build without CUDA on {}", flat.device().str());
  const at::Tensor sums = at::empty({static_cast<int64_t>(parts)}, flat.options().dtype(at::kDouble));
  cuda->squared_norms(float_of(flat), there.const_data_ptr<int64_t>(), sums.data_ptr<double>(),
                      static_cast<int64_t>(parts), LaunchStream(flat));
  const at::Tensor here = sums.cpu();
  std::copy_n(here.const_data_ptr<double>(), parts, norms.begin());
  return norms;
}

double squared_norm(const at::Tensor& x) {
  const at::Tensor flat = x.contiguous().flatten();
  const std::vector<int64_t> starts = {0, flat.numel()};
  return squared_norms(flat, starts, to_device(starts, flat.device()))[0];
}

}  // namespace gaggle
