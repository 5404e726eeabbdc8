// RMSNorm over rows (Zhang and Sennrich 2019): y = x / sqrt(mean x² + eps) · w, statistics in fp32 (fp64).
#pragma once

#include <ATen/ATen.h>

namespace gaggle {

// x [.., d] fp32, bf16 or fp64; weight [d] fp32 (fp64 for fp64) → [.., d] of type `out`.
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps, at::ScalarType out);

// sum = x + delta (sum may be x itself), then rms_norm(sum).
// x, sum [T, d] fp32 (fp64), delta [T, d] of type `out`.
at::Tensor add_rms_norm(const at::Tensor& x, const at::Tensor& delta, at::Tensor& sum, const at::Tensor& weight,
                        double eps, at::ScalarType out);

// dx [T, d] += d rms_norm(x) of dy; x and dx fp32 (fp64), dy of the activations' type.
// Returns dx as a tensor of dy's type (dx itself where the types agree): what the next product wants.
at::Tensor rms_norm_backward(const at::Tensor& x, const at::Tensor& dy, const at::Tensor& weight, double eps,
                             at::Tensor& dx);

// dy ← d rms_norm(x) of dy, in place; x and dy of one type (heads seen as rows [T · heads, head_dim]).
void rms_norm_backward_(const at::Tensor& x, at::Tensor& dy, const at::Tensor& weight, double eps);

}  // namespace gaggle
