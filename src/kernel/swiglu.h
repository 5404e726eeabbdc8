// The gated activation of Llama's MLP: y = silu(gate) · up.
#pragma once

#include <ATen/ATen.h>

namespace gaggle {

// gate, up [T, n] → [T, n], one type (bf16, fp32, fp64); computed in fp32 for bf16.
at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up);
// gate ← d gate, up ← d up for dy [T, n], in place.
void swiglu_backward_(at::Tensor& gate, at::Tensor& up, const at::Tensor& dy);

}  // namespace gaggle
