// Multiply by all skills, then weigh: Poly / MHR for mixtures of few rows (routing samples per example), where
// mixing a pair for each would cost more than its products.
#pragma once

#include <ATen/ATen.h>

namespace gaggle {

// A site's skills in the activations' type.
struct StackedSkills {
  at::Tensor a;  // [h, K, d_in/h, r]
  at::Tensor b;  // [h, K, r, d_out/h]
  double scale = 1;
};

// Where gradients are added in fp32 (fp64); an undefined tensor is not wanted.
struct StackedGrad {
  at::Tensor a, b;  // as the skills
  at::Tensor w;     // [T, h, K], by row
};

// Whether mixing first is the cheaper way for mixtures of this many rows on average. Mixing reads and writes
// memory for every mixture, stacking multiplies K times as many columns at the speed of matrix products.
bool mixing_is_cheaper(double rows_per_mixture, at::ScalarType type, at::Device device);

// y [T, d_out] += scale · Σ_qk w_qk (Σ_q'k' w_q'k' x_q' A_q'k') B_qk, in place; w [T, h, K] by row, fp32 (fp64).
void stacked_skills_forward(const at::Tensor& x, at::Tensor& y, const at::Tensor& w, const StackedSkills& skills);
// dx [T, d_in] += … (undefined: not wanted), and the gradients.
void stacked_skills_backward(const at::Tensor& x, const at::Tensor& dy, at::Tensor dx, const at::Tensor& w,
                             const StackedSkills& skills, const StackedGrad& grad);

}  // namespace gaggle
