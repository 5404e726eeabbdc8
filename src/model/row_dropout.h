// Dropout inside the base, keyed by (seed, side, sample, position) of a row and the place in the model:
// the same whatever rank, lane or micro-batch a sample is in.
#pragma once

#include <ATen/ATen.h>

#include <span>
#include <vector>

#include "base/microbatch.h"
#include "kernel/attention.h"

namespace gaggle {

struct BaseDropout;

class RowDropout {
 public:
  RowDropout() = default;
  RowDropout(const BaseDropout& dropout, const Microbatch& batch, Side side);
  bool on() const { return p_ > 0; }
  // In place: x [T, n], or the given rows of it [rows, n]. Applied to a gradient it is its own backward.
  void drop(at::Tensor& x, uint64_t place) const;
  void drop(at::Tensor& x, std::span<const int64_t> rows, uint64_t place) const;
  // The same of a copy, where something is dropped.
  at::Tensor dropped(const at::Tensor& x, uint64_t place) const;
  AttentionDropout of_attention(uint64_t place) const;

 private:
  std::vector<uint64_t> keys_at(std::span<const int64_t> rows, uint64_t place) const;

  double p_ = 0;
  std::vector<uint64_t> keys_;  // [T]
};

}  // namespace gaggle
