// The one operation: y[t] += scale_s · g[t] · B_s (A_s x[t]) for the tokens t of segment s, forward and
// backward. x, y, A, B may be fp64, fp32 or bf16 (all alike); gradients of parameters are added in fp32 (fp64
// for fp64).
#pragma once

#include <ATen/ATen.h>

#include <span>

#include "base/microbatch.h"

namespace gaggle {

struct LowRank {
  at::Tensor a;  // [r, d_in]; undefined: the member is absent at this site
  at::Tensor b;  // [d_out, r]
  double scale = 1;
  at::Tensor gate;  // v [d_in] fp32 (fp64): g[t] = σ(v·x[t] + b); undefined: g = 1
  // A, below it v in A's type, then rows of zeros; undefined: joined for every pass.
  at::Tensor a_and_gate = {};
  double gate_bias = 0;  // b, which does not train
};

// Where gradients are added; an undefined tensor is not wanted.
struct LowRankGrad {
  at::Tensor a;     // [r, d_in]
  at::Tensor b;     // [d_out, r]
  at::Tensor gate;  // [d_in]
};

// y [T, d_out] += …, in place. x [T, d_in]. members[segment.member] belongs to the segment.
void segmented_lowrank_forward(const at::Tensor& x, at::Tensor& y, std::span<const Segment> segments,
                               std::span<const LowRank> members);

// dx [T, d_in] += …, in place (undefined: not wanted), and parameter gradients into `grads` (same indexing as
// members; a and b may be transposed views):
//   h = A x, e = Bᵀ dy: dB = scale dyᵀ(g∘h), dA = scale (g∘e)ᵀ x, dg = scale <e,h>, dx += scale (g∘e) A,
//   dv = Σ dg g(1-g) x, dx += dg g(1-g) v.
void segmented_lowrank_backward(const at::Tensor& x, const at::Tensor& dy, at::Tensor dx,
                                std::span<const Segment> segments, std::span<const LowRank> members,
                                std::span<const LowRankGrad> grads);

}  // namespace gaggle
