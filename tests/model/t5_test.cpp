// T5 over rows: the cache against recomputation, sequences that share a source, dropout that knows its rows.
#include <gtest/gtest.h>

#include "../probe/matrix_adapter.h"
#include "fake_checkpoint.h"

namespace gaggle::t5 {
namespace {

using Ids = std::vector<int32_t>;

Ids ids(int n, int seed) {
  Ids all;
  for (int i = 0; i < n; ++i) all.push_back((7 * i + 13 * seed) % 90);
  return all;
}

double apart(const at::Tensor& a, const at::Tensor& b) {
  return ((a.to(at::kDouble) - b.to(at::kDouble)).norm() / b.to(at::kDouble).norm()).item<double>();
}

class T5Rows : public testing::TestWithParam<bool> {
 protected:
  FakeT5 checkpoint{GetParam()};
  T5Model base{checkpoint, at::kFloat, at::kCPU, BaseUse::training};

  at::Tensor whole(const Ids& source, const Ids& output) {
    Microbatch batch;
    append_sequence(batch.encoder, source);
    append_sequence(batch.decoder, output);
    batch.sources = {0};
    return base.forward(batch, nullptr, nullptr);
  }
};

TEST_P(T5Rows, GenerationWithTheCacheEqualsRecomputation) {
  const std::vector<Ids> sources = {ids(40, 1), ids(3, 2)};
  std::vector<Ids> outputs = {ids(2, 3), ids(1, 4), ids(4, 5)};
  const std::vector<int64_t> reads = {0, 1, 0};  // two beams of the first
  Microbatch first;
  for (const Ids& source : sources) append_sequence(first.encoder, source);
  for (const Ids& output : outputs) append_sequence(first.decoder, output);
  first.sources = reads;
  KeyValueCache cache;
  base.forward(first, nullptr, &cache);
  std::vector<std::vector<int64_t>> past(3);
  for (size_t s = 0; s < 3; ++s)
    for (int64_t row = first.decoder.starts[s]; row < first.decoder.starts[s + 1]; ++row) past[s].push_back(row);
  for (int step = 0; step < 5; ++step) {
    Microbatch next;
    for (size_t s = 0; s < 3; ++s) {
      const int32_t token = (11 * step + static_cast<int32_t>(s)) % 90;
      append_sequence(next.decoder, {&token, 1}, static_cast<int64_t>(outputs[s].size()));
      outputs[s].push_back(token);
    }
    next.sources = reads;
    next.past = past;
    for (size_t s = 0; s < 3; ++s) past[s].push_back(cache.length + static_cast<int64_t>(s));
    const at::Tensor hidden = base.forward(next, nullptr, &cache);
    for (size_t s = 0; s < 3; ++s) {
      const at::Tensor again = whole(sources[static_cast<size_t>(reads[s])], outputs[s]);
      EXPECT_LT(apart(hidden[static_cast<int64_t>(s)], again[again.size(0) - 1]), 2e-5) << step;
    }
  }
}

TEST_P(T5Rows, RaggedBatchEqualsOneAtATime) {
  const std::vector<Ids> sources = {ids(40, 1), ids(3, 2), ids(1, 3)}, outputs = {ids(2, 3), ids(31, 4), ids(9, 5)};
  Microbatch batch;
  for (size_t i = 0; i < 3; ++i) {
    append_sequence(batch.encoder, sources[i]);
    append_sequence(batch.decoder, outputs[i]);
    batch.sources.push_back(static_cast<int64_t>(i));
  }
  const at::Tensor hidden = base.forward(batch, nullptr, nullptr);
  for (size_t i = 0; i < 3; ++i)
    EXPECT_LT(apart(hidden.narrow(0, batch.decoder.starts[i], batch.decoder.starts[i + 1] - batch.decoder.starts[i]),
                    whole(sources[i], outputs[i])),
              2e-5);
}

// A sample's noise belongs to it, wherever it lies.
TEST_P(T5Rows, DropoutDoesNotDependOnTheBatch) {
  T5Model exact(checkpoint, at::kDouble, at::kCPU, BaseUse::training);
  const auto batch_of = [](const std::vector<int>& samples) {
    Microbatch batch;
    for (const int sample : samples) {
      append_sequence(batch.encoder, ids(5 + 3 * sample, sample));
      append_sequence(batch.decoder, ids(2 + sample, sample + 20));
      batch.sources.push_back(batch.encoder.sequences() - 1);
      batch.decoder.samples.push_back(sample), batch.encoder.samples.push_back(sample);
      for (int64_t row = batch.decoder.starts[batch.decoder.starts.size() - 2]; row < batch.decoder.count(); ++row) {
        batch.scored_tokens.push_back(row);
        batch.target_ids.push_back(static_cast<int32_t>(row % 7));
        batch.target_weights.push_back(1);
      }
    }
    return batch;
  };
  const auto nll = [&](const std::vector<int>& samples, uint64_t seed) {
    probe::MatrixAdapter none;
    Microbatch batch = batch_of(samples);
    int64_t at = 0;  // targets of a sample are the same in every batch
    for (size_t s = 0; s < samples.size(); ++s)
      for (int64_t i = 0; i < batch.decoder.starts[s + 1] - batch.decoder.starts[s]; ++i)
        batch.target_ids[static_cast<size_t>(at++)] = static_cast<int32_t>((5 * i + samples[s]) % 90);
    return exact.forward_backward(batch, none, {}, {0.2, seed});
  };
  const at::Tensor together = nll({0, 1, 2}, 9), turned = nll({2, 0}, 9);
  EXPECT_LT(apart(turned.narrow(0, 0, 4), together.narrow(0, 5, 4)), 1e-6);
  EXPECT_LT(apart(turned.narrow(0, 4, 2), together.narrow(0, 0, 2)), 1e-6);
  EXPECT_GT(apart(nll({0, 1, 2}, 10), together), 1e-2);
}

INSTANTIATE_TEST_SUITE_P(Versions, T5Rows, testing::Values(true, false),
                         [](const auto& version) { return version.param ? "v11" : "v10"; });

}  // namespace
}  // namespace gaggle::t5
