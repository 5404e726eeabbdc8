// Rotary positions (Su et al. 2021) in Hugging Face's layout: the pairs are (i, i + head_dim/2).
#pragma once

#include <ATen/ATen.h>

namespace gaggle {

// cos and sin of positions, [rows, head_dim/2] each, fp32 (fp64 for fp64 models).
struct RotaryTable {
  at::Tensor cos, sin;
};

// `count` positions from `first` on; frequencies [head_dim/2]: radians per position.
struct RotaryRun {
  std::vector<double> frequencies;
  int64_t first = 0, count = 0;
};

// The rows of one run after the other. Both tables are multiplied by `scale`: so are the turned values, and what
// `inverse` makes of their gradients.
RotaryTable rotary_table(const std::vector<RotaryRun>& runs, at::ScalarType dtype, at::Device device, double scale = 1);

// x [T, heads · head_dim] turned in place, each token by its row [T] (int32) of the table; `inverse` turns back
// (backward).
void rotary_(at::Tensor& x, const at::Tensor& rows, const RotaryTable& table, bool inverse);

}  // namespace gaggle
