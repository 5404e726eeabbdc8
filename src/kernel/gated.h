// The activations of feed-forward blocks: times a second linear's output (Llama's silu, T5 v1.1's gelu_tanh),
// or alone (T5 v1.0's relu).
#pragma once

#include <ATen/ATen.h>

#include "base/activation.h"

namespace gaggle {

// act(gate) · up: gate, up [T, n] → [T, n], one type (bf16, fp32, fp64); computed in fp32 for bf16.
at::Tensor gated(Activation activation, const at::Tensor& gate, const at::Tensor& up);
// gate ← d gate, up ← d up for dy [T, n], in place.
void gated_backward_(Activation activation, at::Tensor& gate, at::Tensor& up, const at::Tensor& dy);

// act(x) for x of any shape.
at::Tensor activated(Activation activation, const at::Tensor& x);
// x ← dx for dy like x, in place.
void activated_backward_(Activation activation, at::Tensor& x, const at::Tensor& dy);

}  // namespace gaggle
