#include "model/token_dropout.h"

#include <numeric>

#include "base/philox.h"
#include "kernel/dropout.h"
#include "model/base_model.h"

namespace gaggle {

TokenDropout::TokenDropout(const BaseDropout& dropout, const Microbatch& batch, Side side) : p_(dropout.p) {
  if (!on()) return;
  const TokenSequences& tokens = batch.side(side);
  for (size_t s = 0; s + 1 < tokens.starts.size(); ++s) {
    const uint64_t sample = tokens.samples.empty() ? s : static_cast<uint64_t>(tokens.samples[s]);
    for (int64_t t = tokens.starts[s]; t < tokens.starts[s + 1]; ++t)
      keys_.push_back(random_key("dropout", {dropout.seed, static_cast<uint64_t>(side), sample,
                                             static_cast<uint64_t>(tokens.positions[static_cast<size_t>(t)])}));
  }
}

std::vector<uint64_t> TokenDropout::keys_at(std::span<const int64_t> tokens, uint64_t place) const {
  std::vector<uint64_t> keys;
  for (const int64_t t : tokens) keys.push_back(random_key("place", {keys_[static_cast<size_t>(t)], place}));
  return keys;
}

AttentionDropout TokenDropout::of_attention(uint64_t place) const {
  std::vector<int64_t> all(keys_.size());
  std::iota(all.begin(), all.end(), int64_t{0});
  return {p_, keys_at(all, place)};
}

void TokenDropout::drop(at::Tensor& x, uint64_t place) const {
  if (on()) dropout_(x, of_attention(place).keys, p_);
}

void TokenDropout::drop(at::Tensor& x, std::span<const int64_t> tokens, uint64_t place) const {
  if (on()) dropout_(x, keys_at(tokens, place), p_);
}

at::Tensor TokenDropout::dropped(const at::Tensor& x, uint64_t place) const {
  if (!on()) return x;
  at::Tensor copy = x.clone();
  drop(copy, place);
  return copy;
}

}  // namespace gaggle
