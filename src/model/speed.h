// What the hardware does and what a step needs: the two numbers behind "55% of its GEMM rate".
#pragma once

#include <ATen/ATen.h>

#include "model/base_model.h"

namespace gaggle {

// FLOP per second of y = x Wᵀ: on the CPU at SmolLM2's shapes, measured for 0.1 s with so many Torch threads; on a GPU of
// products that fill it.
double measure_gemm_flops(at::ScalarType dtype, at::Device device, int threads);

// Of attention over one sequence: two products forward, four backward, over the keys that each token sees. source: how
// many tokens the decoder's cross-attention reads.
double decoder_attention_flops(const ModelSpec& spec, int64_t tokens, int64_t source);
double encoder_attention_flops(const ModelSpec& spec, int64_t tokens);

// Useful FLOP of forward and backward over a micro-batch: 4 · linear weights · T of each side + 4 · vocab ·
// hidden · scored tokens + attention.
double useful_flops(const BaseModel& base, const Microbatch& batch);
// Those of forward alone: half of the products with weights, a third of attention.
double forward_flops(const BaseModel& base, const Microbatch& batch);

}  // namespace gaggle
