// The head and cross-entropy on target rows, in chunks of rows: logits never exist for more than one chunk.
#pragma once

#include <ATen/ATen.h>

#include "base/rows.h"
#include "model/frozen_linear.h"

namespace gaggle {

// The target rows with equal neighbours joined: targets [starts[r], starts[r + 1]) are of row rows[r].
struct TargetRows {
  std::vector<int64_t> rows;
  std::vector<int64_t> starts;
};
TargetRows join_targets(const Rows& rows);

// hidden [R, d]: the joined target rows after the final norm → nll [N] fp32 on the CPU. With `d_hidden` (of
// hidden's shape and type) it gets the gradient of Σ target_weights · nll.
at::Tensor head_loss(const FrozenLinear& head, const at::Tensor& hidden, const TargetRows& targets,
                     const Rows& rows, at::Tensor* d_hidden);

}  // namespace gaggle
