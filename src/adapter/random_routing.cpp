#include "adapter/random_routing.h"

#include <algorithm>

#include "adapter/text_number.h"
#include "base/error.h"
#include "kernel/upload.h"

namespace gaggle {
namespace {

class RandomAdapter : public TokenAdapter {
 public:
  RandomAdapter(std::vector<RoutedSite> sites, const RoutedCollection& collection, int64_t k, uint64_t seed)
      : TokenAdapter(std::move(sites), collection), k_(k), seed_(seed) {}

  void begin(const Microbatch& batch) override {
    const TokenSequences &decoder = batch.decoder, &encoder = batch.encoder;
    for (const Side side : sides) texts_[side].clear();
    for (size_t s = 0; s + 1 < encoder.starts.size(); ++s) append(Side::encoder, encoder, s, 0);
    if (batch.past.empty()) cached_.clear();
    for (size_t s = 0; s + 1 < decoder.starts.size(); ++s) {
      uint64_t before = 0;
      if (!batch.past.empty() && !batch.past[s].empty())
        before = cached_.at(static_cast<size_t>(batch.past[s].back()));
      else if (!batch.sources.empty() && encoder.count() > 0)
        before = texts_.encoder[static_cast<size_t>(encoder.starts[static_cast<size_t>(batch.sources[s]) + 1] - 1)];
      append(Side::decoder, decoder, s, before);
    }
    cached_.insert(cached_.end(), texts_.decoder.begin(), texts_.decoder.end());
  }

 private:
  void append(Side side, const TokenSequences& tokens, size_t sequence, uint64_t text) {
    for (int64_t t = tokens.starts[sequence]; t < tokens.starts[sequence + 1]; ++t)
      texts_[side].push_back(text = longer_text(text, tokens.ids[static_cast<size_t>(t)]));
  }

  TokenRouting choose(const Site& site, const RoutedSite& experts, const at::Tensor& x) override {
    const std::vector<uint64_t>& texts = texts_[site.side];
    GAGGLE_CHECK(static_cast<int64_t>(texts.size()) == x.size(0), "{} tokens at {}", x.size(0), site.name);
    const size_t all = experts.candidates.size();
    const size_t k = k_ > 0 ? std::min(static_cast<size_t>(k_), all) : all;
    const uint64_t name = name_number(site.name);
    std::vector<int64_t> drawn;
    for (const uint64_t text : texts) {
      const uint64_t key = random_key("random routing", {seed_, name, text});
      std::vector<int> left = experts.candidates;
      for (size_t i = 0; i < k; ++i) {
        std::swap(left[i], left[i + random_bits(key, i) % (all - i)]);
        drawn.push_back(left[i]);
      }
    }
    const std::vector<int64_t> shape = {x.size(0), static_cast<int64_t>(k)};
    return {to_device(drawn, x.device()).view(shape),
            at::full(shape, 1 / static_cast<double>(k), x.options().dtype(at::kFloat))};
  }

  int64_t k_;
  uint64_t seed_;
  BySide<std::vector<uint64_t>> texts_;  // [T] of this pass
  std::vector<uint64_t> cached_;         // by row of the cache that the passes fill
};

}  // namespace

std::unique_ptr<RoutedAdapter> make_random(const RoutedCollection& collection, int64_t k, uint64_t seed) {
  std::vector<RoutedSite> sites = collection.sites;
  for (RoutedSite& site : sites) {
    std::vector<int> candidates;
    for (size_t z = 0; z < site.experts.size(); ++z)
      if (site.experts[z].a.defined()) candidates.push_back(static_cast<int>(z));
    set_candidates(site, std::move(candidates), {});
  }
  return std::make_unique<RandomAdapter>(std::move(sites), collection, k, seed);
}

}  // namespace gaggle
