// Dropout of rows (Srivastava et al. 2014) whose noise depends on what a row is, never on where or in which
// order it is computed.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <span>

namespace gaggle {

// x [T, n] (fp32, bf16, fp64), keys [T], one for each row, such as
// random_key("dropout", {seed, step, place, sample, position}); 0 <= p < 1; in place.
// Value i of a row with the key k becomes 0 where random_bits(k, i) < 2^64 p, that is where the i-th uniform
// under k is below p; else it is scaled by 1 / (1 - p). On a gradient, with the same keys and p, this is its
// backward. p = 0 does nothing. A GPU makes the noise itself, of the keys; other devices get a mask, a byte a value.
void dropout_(at::Tensor& x, std::span<const uint64_t> keys, double p);

}  // namespace gaggle
