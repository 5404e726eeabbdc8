#include "kernel/mixing_weights.h"

namespace gaggle {
namespace {

constexpr double epsilon = 1e-12;

at::Tensor sum_of(const at::Tensor& z) { return z.sum(-1, /*keepdim=*/true).add_(epsilon); }

}  // namespace

MixingWeights mixing_weights(const at::Tensor& logits, int64_t heads, double keep, const at::Tensor& noise,
                             double temperature) {
  const int64_t skills = logits.size(1) / heads;
  MixingWeights out;
  if (noise.defined()) {
    const at::Tensor u = noise.clamp(1e-7, 1 - 1e-7);
    out.z = (logits + u.log() - (1 - u).log()).div_(temperature).sigmoid_();
  } else {
    out.z = logits.sigmoid();
  }
  out.z = out.z.view({logits.size(0), heads, skills});
  out.w = out.z / sum_of(out.z);
  if (keep < 1) out.w = out.w.mul_(keep).add_((1 - keep) / static_cast<double>(skills));
  return out;
}

at::Tensor logits_gradient(const MixingWeights& weights, const at::Tensor& d_w, double keep, double temperature) {
  const at::Tensor& z = weights.z;
  const at::Tensor sum = sum_of(z), share = z / sum;
  const at::Tensor dz = (d_w - (share * d_w).sum(-1, /*keepdim=*/true)) / sum;
  return (dz * z * (1 - z)).mul_(keep / temperature).view({z.size(0), -1});
}

}  // namespace gaggle
