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

void append(RowSet& rows, const Ids& tokens, int32_t first_position = 0) {
  if (rows.starts.empty()) rows.starts.push_back(0);
  for (size_t i = 0; i < tokens.size(); ++i) {
    rows.ids.push_back(tokens[i]);
    rows.positions.push_back(first_position + static_cast<int32_t>(i));
  }
  rows.starts.push_back(rows.count());
}

double apart(const at::Tensor& a, const at::Tensor& b) {
  return ((a.to(at::kDouble) - b.to(at::kDouble)).norm() / b.to(at::kDouble).norm()).item<double>();
}

class T5Rows : public testing::TestWithParam<bool> {
 protected:
  FakeT5 checkpoint{GetParam()};
  T5Model base{checkpoint, at::kFloat, at::kCPU, BaseUse::training};

  at::Tensor whole(const Ids& source, const Ids& output) {
    Rows rows;
    append(rows.encoder, source);
    append(rows, output);
    rows.sources = {0};
    return base.forward(rows, nullptr, nullptr);
  }
};

TEST_P(T5Rows, GenerationWithTheCacheEqualsRecomputation) {
  const std::vector<Ids> sources = {ids(40, 1), ids(3, 2)};
  std::vector<Ids> outputs = {ids(2, 3), ids(1, 4), ids(4, 5)};
  const std::vector<int64_t> reads = {0, 1, 0};  // two beams of the first
  Rows first;
  for (const Ids& source : sources) append(first.encoder, source);
  for (const Ids& output : outputs) append(first, output);
  first.sources = reads;
  KeyValueCache cache;
  base.forward(first, nullptr, &cache);
  std::vector<std::vector<int64_t>> past(3);
  for (size_t s = 0; s < 3; ++s)
    for (int64_t row = first.starts[s]; row < first.starts[s + 1]; ++row) past[s].push_back(row);
  for (int step = 0; step < 5; ++step) {
    Rows next;
    for (size_t s = 0; s < 3; ++s) {
      const int32_t token = (11 * step + static_cast<int32_t>(s)) % 90;
      append(next, {token}, static_cast<int32_t>(outputs[s].size()));
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
  const std::vector<Ids> sources = {ids(40, 1), ids(3, 2), ids(1, 3)},
                         outputs = {ids(2, 3), ids(31, 4), ids(9, 5)};
  Rows rows;
  for (size_t i = 0; i < 3; ++i) {
    append(rows.encoder, sources[i]);
    append(rows, outputs[i]);
    rows.sources.push_back(static_cast<int64_t>(i));
  }
  const at::Tensor hidden = base.forward(rows, nullptr, nullptr);
  for (size_t i = 0; i < 3; ++i)
    EXPECT_LT(apart(hidden.narrow(0, rows.starts[i], rows.starts[i + 1] - rows.starts[i]),
                    whole(sources[i], outputs[i])),
              2e-5);
}

// A sample's noise belongs to it, wherever it lies.
TEST_P(T5Rows, DropoutDoesNotDependOnTheBatch) {
  T5Model exact(checkpoint, at::kDouble, at::kCPU, BaseUse::training);
  const auto rows_of = [](const std::vector<int>& samples) {
    Rows rows;
    for (const int sample : samples) {
      append(rows.encoder, ids(5 + 3 * sample, sample));
      append(rows, ids(2 + sample, sample + 20));
      rows.sources.push_back(rows.encoder.sequences() - 1);
      rows.samples.push_back(sample), rows.encoder.samples.push_back(sample);
      for (int64_t row = rows.starts[rows.starts.size() - 2]; row < rows.count(); ++row) {
        rows.target_rows.push_back(row);
        rows.target_ids.push_back(static_cast<int32_t>(row % 7));
        rows.target_weights.push_back(1);
      }
    }
    return rows;
  };
  const auto nll = [&](const std::vector<int>& samples, uint64_t seed) {
    probe::MatrixAdapter none;
    Rows rows = rows_of(samples);
    int64_t at = 0;  // targets of a sample are the same in every batch
    for (size_t s = 0; s < samples.size(); ++s)
      for (int64_t i = 0; i < rows.starts[s + 1] - rows.starts[s]; ++i)
        rows.target_ids[static_cast<size_t>(at++)] = static_cast<int32_t>((5 * i + samples[s]) % 90);
    return exact.forward_backward(rows, none, {}, {0.2, seed});
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
