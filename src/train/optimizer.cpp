#include "train/optimizer.h"

#include <algorithm>
#include <cmath>

namespace gaggle {

void adamw_update(at::Tensor values, const at::Tensor& gradient, at::Tensor m, at::Tensor v, int64_t update,
                  double lr, const AdamWSettings& s) {
  const double correction1 = 1 - std::pow(s.beta1, static_cast<double>(update));
  const double correction2 = 1 - std::pow(s.beta2, static_cast<double>(update));
  if (s.weight_decay != 0) values.mul_(1 - lr * s.weight_decay);
  m.lerp_(gradient, 1 - s.beta1);
  v.mul_(s.beta2).addcmul_(gradient, gradient, 1 - s.beta2);
  const at::Tensor denominator = v.sqrt().div_(std::sqrt(correction2)).add_(s.eps);
  values.addcdiv_(m, denominator, -lr / correction1);
}

double squared_norm(const at::Tensor& x) {
  if (!x.is_cpu()) return x.to(at::kDouble).square_().sum().item<double>();
  // Eight sums side by side, so that one addition need not wait for the last; their order is fixed.
  const at::Tensor flat = x.contiguous();
  const float* values = flat.const_data_ptr<float>();
  const int64_t n = flat.numel();
  double sums[8] = {};
  int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (int j = 0; j < 8; ++j)
      sums[j] += static_cast<double>(values[i + j]) * static_cast<double>(values[i + j]);
  double total = 0;
  for (; i < n; ++i) total += static_cast<double>(values[i]) * static_cast<double>(values[i]);
  for (const double sum : sums) total += sum;
  return total;
}

double clip_factor(double norm, double clip) {
  return clip > 0 ? std::min(1.0, clip / (norm + 1e-6)) : 1;
}

}  // namespace gaggle
