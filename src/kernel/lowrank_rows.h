// segmented_lowrank on processors that multiply bf16 themselves: a few tokens go through all products while they lie
// in the cache, and gradients of parameters are summed in fp32. No bits depend on threads.
#pragma once

#include "kernel/segmented_lowrank.h"

namespace gaggle {

// Whether this is the way of pairs of such values.
bool has_lowrank_rows(at::ScalarType type, at::Device device, int64_t rank);
// Whether the rows of a member of this rank go that way; x and y (or dy, dx) are whole or undefined.
bool takes_lowrank_rows(const at::Tensor& x, const at::Tensor& y, const at::Tensor& dx, int64_t rank);

// segmented_lowrank_forward and _backward for the rows of one segment; `a` is its member's [A; v] where that has a
// gate, else A.
void lowrank_rows_forward(const at::Tensor& x, const at::Tensor& y, const LowRank& member, const at::Tensor& a);
void lowrank_rows_backward(const at::Tensor& x, const at::Tensor& dy, const at::Tensor& dx, const LowRank& member,
                           const at::Tensor& a, const LowRankGrad& grad);

}  // namespace gaggle
