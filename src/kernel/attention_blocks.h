// Attention of long rows by blocks of queries and keys (FlashAttention-2, arXiv 2307.08691) in loops on the CPU: a thread
// holds 64 by 128 scores at a time, so memory grows with the length alone. Scores and sums are fp32. What is multiplied,
// probabilities and their gradients too, is rounded to bf16 where the tensors are bf16 and the processor has AVX512-BF16.
// Each block of results is made by one thread in one order, whatever the number of threads.
#pragma once

#include "kernel/attention.h"

namespace gaggle {

// The rows plan.long_rows of `to` ← attention (kernel/attention.h). All tensors satisfy on_cpu.
void attend_by_blocks(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttentionPlan& plan,
                      const HeadShape& shape, const AttentionExtras& extras, Attended& to);

// The same rows' gradients into `grad`. Probabilities are computed again from `forward`, twice: with queries as lanes
// for dq, with keys as lanes for dk and dv, so that no two threads add to the same place.
void attend_by_blocks_backward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const Attended& forward,
                               const at::Tensor& dy, const AttentionPlan& plan, const HeadShape& shape,
                               const AttentionExtras& extras, AttentionGrad& grad);

// Bytes that a thread works in, besides results.
int64_t block_workspace(const HeadShape& shape);

}  // namespace gaggle
