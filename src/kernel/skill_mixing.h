// Skills into adapters and gradients back (Poly, arXiv 2202.13914; MHR, arXiv 2211.03831),
// per head q and mixture m:
//   mixed_m[q] = Σ_k w_mqk · skills[q, k]
// Every value is summed over k in order, so its bits do not depend on which other mixtures are asked for.
#pragma once

#include <ATen/ATen.h>

namespace gaggle {

// skills [h, K, n], w [M, h, K] → [M, h, n] of `type`. fp32 (fp64), contiguous.
at::Tensor mix_skills(const at::Tensor& skills, const at::Tensor& w, at::ScalarType type);

// Of gradient [M, h, n] with respect to the mixtures: d_skills[q,k] += Σ_m w_mqk · gradient_m[q] and
// d_w_mqk += <gradient_m[q], skills[q, k]>. An undefined tensor is not wanted. fp32 (fp64), contiguous.
void mix_skills_backward(const at::Tensor& gradient, const at::Tensor& skills, const at::Tensor& w, at::Tensor d_skills,
                         at::Tensor d_w);

}  // namespace gaggle
