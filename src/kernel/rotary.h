// Rotary positions (Su et al. 2021) in Hugging Face's layout: the pairs are (i, i + head_dim/2).
#pragma once

#include <ATen/ATen.h>

namespace gaggle {

// cos and sin of every position, [positions, head_dim/2] each, fp32 (fp64 for fp64 models).
struct RotaryTable {
  at::Tensor cos, sin;
};

// frequencies [head_dim/2]: radians per position. Both tables are multiplied by `scale`: so are the turned values, and
// what `inverse` makes of their gradients.
RotaryTable rotary_table(const std::vector<double>& frequencies, int64_t positions, at::ScalarType dtype,
                         at::Device device, double scale = 1);

// x [T, heads · head_dim] turned in place by its rows' positions [T] (int32); `inverse` turns back (backward).
void rotary_(at::Tensor& x, const at::Tensor& positions, const RotaryTable& table, bool inverse);

}  // namespace gaggle
