// Attention on GPUs by LibTorch's variable-length flash attention (Dao 2023): all sequences of a pass in one launch,
// nothing padded, no score held.
#pragma once

#include "kernel/attention.h"

namespace gaggle {

// bf16 on a GPU, heads that it knows, and nothing but scale and mask between q · k and the softmax.
bool takes_flash(const HeadShape& shape, const at::TensorOptions& like);
// `rows`: every token of the pass once, in order.
FlashRows flash_rows(std::span<const AttentionRow> rows, at::Device device);

// As attention() and attention_backward(); deterministic where LibTorch's algorithms are asked to be.
Attended flash_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttentionPlan& plan,
                         const HeadShape& shape);
AttentionGrad flash_attention_backward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                       const Attended& forward, const at::Tensor& dy, const AttentionPlan& plan,
                                       const HeadShape& shape);

}  // namespace gaggle
