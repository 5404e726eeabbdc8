// Squared norms of the neighbouring parts of a flat tensor, as a step's clipping wants them.
#pragma once

#include <ATen/ATen.h>

#include <span>
#include <vector>

namespace gaggle {

// Σ x² of the parts [starts[i], starts[i + 1]) of `flat`, fp32, in fp64 and in an order of their own: the bits of one part
// do not depend on the others. `there`: starts [n + 1] int64 on the device. On a GPU one launch and one wait.
std::vector<double> squared_norms(const at::Tensor& flat, std::span<const int64_t> starts, const at::Tensor& there);
double squared_norm(const at::Tensor& x);

}  // namespace gaggle
