// Dropout inside the base, keyed by (seed, side, sample, position) of a token and by the place in the model:
// the same whatever rank, lane or micro-batch a sample is in.
#pragma once

#include <ATen/ATen.h>

#include <span>
#include <vector>

#include "base/microbatch.h"
#include "kernel/attention.h"

namespace gaggle {

struct BaseDropout;

class TokenDropout {
 public:
  TokenDropout() = default;
  TokenDropout(const BaseDropout& dropout, const Microbatch& batch, Side side);
  bool on() const { return p_ > 0; }
  // In place: x [T, n], or x [tokens, n] of some of the tokens. Applied to a gradient it is its own backward.
  void drop(at::Tensor& x, uint64_t place) const;
  void drop(at::Tensor& x, std::span<const int64_t> tokens, uint64_t place) const;
  // The same of a copy, where something is dropped.
  at::Tensor dropped(const at::Tensor& x, uint64_t place) const;
  AttentionDropout of_attention(uint64_t place) const;

 private:
  std::vector<uint64_t> keys_at(std::span<const int64_t> tokens, uint64_t place) const;

  double p_ = 0;
  std::vector<uint64_t> keys_;  // [T]
};

}  // namespace gaggle
