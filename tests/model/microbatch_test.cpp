// A hidden state depends on its own sequence alone: not on its neighbours in the batch, nor on whether the
// tokens before it came from a key/value cache.
#include <gtest/gtest.h>

#include "base/error.h"
#include "fake_checkpoint.h"
#include "model/memory.h"

namespace gaggle {
namespace {

Microbatch batch_of(const std::vector<std::vector<int32_t>>& sequences, int32_t position = 0) {
  Microbatch batch;
  for (const auto& sequence : sequences) append_sequence(batch.decoder, sequence, position);
  return batch;
}

std::vector<int32_t> tokens(int n, int seed) {
  std::vector<int32_t> ids;
  for (int i = 0; i < n; ++i)
    ids.push_back(static_cast<int32_t>(random_bits(static_cast<uint64_t>(seed), static_cast<uint64_t>(i)) % 100));
  return ids;
}

double apart(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>();
}

struct Case {
  int64_t window;
  bool qk_norm;
};

class Base : public testing::TestWithParam<Case> {
 protected:
  FakeCheckpoint checkpoint{GetParam().window, GetParam().qk_norm};
  LlamaModel base{checkpoint, at::kFloat, at::kCPU, BaseUse::training};
};

TEST_P(Base, RaggedBatchEqualsOneAtATime) {
  std::vector<std::vector<int32_t>> sequences;
  for (int n : {3, 70, 1, 12, 13, 11, 40}) sequences.push_back(tokens(n, n));
  const Microbatch batch = batch_of(sequences);
  const at::Tensor all = base.forward(batch, nullptr, nullptr);
  for (size_t s = 0; s < sequences.size(); ++s) {
    const at::Tensor one = base.forward(batch_of({sequences[s]}), nullptr, nullptr);
    EXPECT_LT(apart(all.narrow(0, batch.decoder.starts[s], one.size(0)), one), 2e-5);
  }
}

TEST_P(Base, ChoicesShareTheirPromptsCache) {
  const auto prompt = tokens(17, 1), other = tokens(9, 2);
  const std::vector<std::vector<int32_t>> choices = {tokens(4, 3), tokens(1, 4), tokens(6, 5)};
  KeyValueCache cache;
  base.forward(batch_of({other, prompt}), nullptr, &cache);
  Microbatch batch = batch_of(choices, 17);
  batch.past.resize(3);
  for (auto& past : batch.past)
    for (int64_t i = 0; i < 17; ++i) past.push_back(9 + i);
  const at::Tensor shared = base.forward(batch, nullptr, &cache);
  EXPECT_EQ(cache.length, 9 + 17 + 11);
  for (size_t c = 0; c < choices.size(); ++c) {
    auto whole = prompt;
    whole.insert(whole.end(), choices[c].begin(), choices[c].end());
    const at::Tensor alone = base.forward(batch_of({whole}), nullptr, nullptr);
    const auto n = static_cast<int64_t>(choices[c].size());
    EXPECT_LT(apart(shared.narrow(0, batch.decoder.starts[c], n), alone.narrow(0, 17, n)), 2e-5);
  }
}

TEST_P(Base, GenerationWithTheCacheEqualsRecomputation) {
  std::vector<std::vector<int32_t>> sequences = {tokens(5, 1), tokens(8, 2)};
  KeyValueCache cache;
  Microbatch batch = batch_of(sequences);
  base.forward(batch, nullptr, &cache);
  std::vector<std::vector<int64_t>> past(2);
  for (size_t s = 0; s < 2; ++s)
    for (int64_t row = batch.decoder.starts[s]; row < batch.decoder.starts[s + 1]; ++row) past[s].push_back(row);
  for (int step = 0; step < 10; ++step) {
    Microbatch next;
    next.decoder.starts = {0, 1, 2};
    next.past = past;
    for (size_t s = 0; s < 2; ++s) {
      const auto id = static_cast<int32_t>((step * 7 + static_cast<int>(s) * 31) % 100);
      next.decoder.ids.push_back(id);
      next.decoder.positions.push_back(static_cast<int32_t>(sequences[s].size()));
      sequences[s].push_back(id);
      past[s].push_back(cache.length + static_cast<int64_t>(s));
    }
    const at::Tensor hidden = base.forward(next, nullptr, &cache);
    for (size_t s = 0; s < 2; ++s) {
      const at::Tensor whole = base.forward(batch_of({sequences[s]}), nullptr, nullptr);
      EXPECT_LT(apart(hidden[static_cast<int64_t>(s)], whole[whole.size(0) - 1]), 2e-5) << step;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, Base, testing::Values(Case{0, false}, Case{6, true}));

// Each row has the frequencies of its own text, whatever its neighbours' lengths, and also where the text's end is not
// fed: a causal model's states are then those of the whole text.
TEST(ByLength, ARowIsTurnedByItsOwnText) {
  for (const char* type : {"dynamic", "longrope"}) {
    const FakeCheckpoint checkpoint(0, false, false, scaled_by_length(type));
    LlamaModel base(checkpoint, at::kFloat, at::kCPU, BaseUse::training);
    std::vector<std::vector<int32_t>> texts, begun;
    Microbatch batch;
    for (const int n : {3, 40, 8, 9, 21, 12}) {
      texts.push_back(tokens(n, n));
      begun.emplace_back(texts.back().begin(), texts.back().end() - 1);
      append_sequence(batch.decoder, begun.back());
      batch.decoder.lengths.push_back(n);
    }
    const at::Tensor all = base.forward(batch, nullptr, nullptr);
    for (size_t s = 0; s < texts.size(); ++s) {
      const auto n = static_cast<int64_t>(begun[s].size());
      const at::Tensor ours = all.narrow(0, batch.decoder.starts[s], n);
      EXPECT_LT(apart(ours, base.forward(batch_of({texts[s]}), nullptr, nullptr).narrow(0, 0, n)), 2e-5) << type << s;
      // Another length is another result, where lengths count.
      const double shorter = apart(ours, base.forward(batch_of({begun[s]}), nullptr, nullptr));
      const bool other = n >= 8 && (checkpoint.spec().rope_scaling.type == "dynamic" || n == 8);
      EXPECT_EQ(shorter > 1e-4, other) << type << s;
    }
  }
}

TEST(Load, RefusesWhatDoesNotFit) {
  struct TwoWeights final : ModelCheckpoint {
    TwoWeights() { weights_ = {{"model.embed_tokens.weight", {1000, 100}}, {"model.norm.weight", {100}}}; }
    void read(const std::string&, std::span<const int64_t>, std::span<float>) const override {}
  };
  const auto need = memory_need(TwoWeights(), at::kFloat, at::kCPU, BaseUse::training);
  EXPECT_EQ(need.embedding, 400000);
  EXPECT_NO_THROW(refuse_if_too_large(need, 900000, at::kFloat, at::kCPU, "m"));
  try {
    refuse_if_too_large(need, 500000, at::kFloat, at::kCPU, "m");
    FAIL();
  } catch (const UserError& error) {
    EXPECT_NE(std::string(error.what()).find("model.dtype"), std::string::npos);
  }
}

}  // namespace
}  // namespace gaggle
