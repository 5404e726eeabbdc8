// PHATGOOSE's gate between the two halves of a low-rank product: g[t] = σ(v·x[t] + bias), whose v·x is a column beside
// h = A x.
#pragma once

#include <ATen/ATen.h>

namespace gaggle {

// all [n, w], w > r: h in the first r columns, v·x in the next → g∘h [n, r] in its type, which is fp64, fp32 or bf16.
at::Tensor row_gated(const at::Tensor& all, int64_t r, double bias);

// With e = Bᵀ dy [n, r] as well: scale · g∘e, beside it v·x's gradient scale · <e, h> · g(1-g), then zeros: [n, w].
at::Tensor row_gate_backward(const at::Tensor& all, const at::Tensor& e, double scale, double bias);

}  // namespace gaggle
