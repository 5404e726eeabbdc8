#include "model/row_dropout.h"

#include <numeric>

#include "base/philox.h"
#include "kernel/dropout.h"
#include "model/base_model.h"

namespace gaggle {

RowDropout::RowDropout(const BaseDropout& dropout, const Microbatch& batch, Side side) : p_(dropout.p) {
  if (!on()) return;
  const TokenSequences& own = batch.side(side);
  for (size_t s = 0; s + 1 < own.starts.size(); ++s) {
    const uint64_t sample = own.samples.empty() ? s : static_cast<uint64_t>(own.samples[s]);
    for (int64_t t = own.starts[s]; t < own.starts[s + 1]; ++t)
      keys_.push_back(random_key("dropout", {dropout.seed, static_cast<uint64_t>(side), sample,
                                             static_cast<uint64_t>(own.positions[static_cast<size_t>(t)])}));
  }
}

std::vector<uint64_t> RowDropout::keys_at(std::span<const int64_t> rows, uint64_t place) const {
  std::vector<uint64_t> keys;
  for (const int64_t row : rows) keys.push_back(random_key("place", {keys_[static_cast<size_t>(row)], place}));
  return keys;
}

AttentionDropout RowDropout::of_attention(uint64_t place) const {
  std::vector<int64_t> all(keys_.size());
  std::iota(all.begin(), all.end(), int64_t{0});
  return {p_, keys_at(all, place)};
}

void RowDropout::drop(at::Tensor& x, uint64_t place) const {
  if (on()) dropout_(x, of_attention(place).keys, p_);
}

void RowDropout::drop(at::Tensor& x, std::span<const int64_t> rows, uint64_t place) const {
  if (on()) dropout_(x, keys_at(rows, place), p_);
}

at::Tensor RowDropout::dropped(const at::Tensor& x, uint64_t place) const {
  if (!on()) return x;
  at::Tensor copy = x.clone();
  drop(copy, place);
  return copy;
}

}  // namespace gaggle
