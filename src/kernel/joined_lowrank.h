// The one operation for many short segments: the members' pairs of one rank r stand side by side, every row is
// multiplied by all of them and keeps its own member's columns. Five products a site where segmented_lowrank
// needs seven a segment; the columns that a row throws away cost little while they are few.
#pragma once

#include <ATen/ATen.h>

#include <span>

#include "base/microbatch.h"

namespace gaggle {

struct JoinedPairs {
  at::Tensor a;  // [d_in, M·r], Aᵀ of one member after the other
  at::Tensor b;  // [M·r, d_out], Bᵀ likewise
  double scale = 1;
};

// Whether joining is the cheaper way for a batch of so many rows.
bool joining_is_cheaper(int64_t rows, int64_t rank, at::ScalarType type, at::Device device);

// [rows, M·r] bool: the columns that are not the row's own; segments count M members.
at::Tensor foreign_columns(std::span<const Segment> segments, int64_t members, int64_t rank, int64_t rows,
                           at::Device device);

// y [T, d_out] += scale · B_s (A_s x[t]), in place.
void joined_lowrank_forward(const at::Tensor& x, at::Tensor& y, const JoinedPairs& pairs, const at::Tensor& foreign);

// dx [T, d_in] += …, in place (undefined: not wanted); returns the gradients of all pairs, not yet scaled, in
// the rows' type (on a GPU in fp32).
struct JoinedGrad {
  at::Tensor a, b;  // as the pairs
};
JoinedGrad joined_lowrank_backward(const at::Tensor& x, const at::Tensor& dy, at::Tensor dx, const JoinedPairs& pairs,
                                   const at::Tensor& foreign);

}  // namespace gaggle
