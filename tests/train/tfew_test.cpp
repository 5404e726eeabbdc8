// Losses whose weights depend on the forward pass: T-Few's through a whole model against finite differences in
// fp64, and without wrong choices equal bits with the plain loss.
#include "train/tfew.h"

#include <gtest/gtest.h>

#include "../model/fake_checkpoint.h"
#include "../probe/matrix_adapter.h"

namespace gaggle {
namespace {

// Per sample: a prompt of 3 tokens, then the output or a wrong choice of these lengths.
Microbatch batch(const std::vector<std::vector<int>>& samples) {
  Microbatch microbatch;
  microbatch.decoder.starts.push_back(0);
  for (size_t s = 0; s < samples.size(); ++s)
    for (size_t c = 0; c < samples[s].size(); ++c) {
      for (int i = 0; i < 2 + samples[s][c]; ++i) {
        microbatch.decoder.ids.push_back((11 * i + 31 * static_cast<int>(s) + (i > 2 ? 7 * static_cast<int>(c) : 0)) %
                                         100);
        microbatch.decoder.positions.push_back(i);
        if (i < 2) continue;
        microbatch.scored_tokens.push_back(microbatch.decoder.count() - 1);
        microbatch.target_ids.push_back((5 * i + 17 * static_cast<int>(s + 3 * c)) % 100);
        microbatch.target_weights.push_back(1.0f / static_cast<float>(samples.size()) /
                                            static_cast<float>(samples[s][0]));
      }
      microbatch.decoder.starts.push_back(microbatch.decoder.count());
      microbatch.decoder.samples.push_back(static_cast<int64_t>(s));
      microbatch.choices.push_back(static_cast<int32_t>(c));
    }
  return microbatch;
}

class TFew : public testing::Test {
 protected:
  FakeCheckpoint checkpoint;
  LlamaModel exact{checkpoint, at::kDouble, at::kCPU, BaseUse::training};
  probe::MatrixAdapter adapter;

  void SetUp() override {
    at::manual_seed(5);
    for (const Site& site : exact.sites())
      adapter.matrices[site.name] = at::randn({site.d_out, site.d_in}, at::kDouble) * 0.05;
  }
  // The mean over samples, in fp64 throughout.
  double loss(const Microbatch& batch, const std::vector<std::vector<int>>& samples) {
    const at::Tensor hidden = exact.forward(batch, &adapter, nullptr);
    const at::Tensor logp = exact.logits(hidden, batch.scored_tokens).log_softmax(1);
    double total = 0;
    int64_t t = 0;
    for (const std::vector<int>& lengths : samples) {
      double wrong_tokens = 0, unlikely = 0, ranked = 0, first = 0;
      for (size_t c = 0; c < lengths.size(); ++c) {
        double sum = 0;
        for (int i = 0; i < lengths[c]; ++i, ++t) {
          const double log_probability = logp[t][batch.target_ids[static_cast<size_t>(t)]].item<double>();
          sum += log_probability;
          if (c > 0) unlikely -= std::log(1 - std::exp(log_probability) + 0.01), ++wrong_tokens;
        }
        if (c == 0) first = sum / lengths[0];
        ranked += std::exp(sum / lengths[c]);
      }
      total += -first + (wrong_tokens > 0 ? unlikely / wrong_tokens : 0) + std::log(ranked) - first;
    }
    return total / static_cast<double>(samples.size());
  }
};

TEST_F(TFew, GradientThroughTheModelEqualsFiniteDifferences) {
  const std::vector<std::vector<int>> samples = {{2, 3, 1}, {1, 4}, {3}};
  const Microbatch microbatch = batch(samples);
  double reported = 0;
  exact.forward_backward(microbatch, adapter,
                         {.weights = [&](const Microbatch& r, std::span<const float> nll, std::span<float> weights) {
                           reported += tfew_loss(r, nll, weights);
                         }});
  EXPECT_NEAR(reported, loss(microbatch, samples), 1e-6);
  for (const Site& site : exact.sites()) {
    at::Tensor& matrix = adapter.matrices[site.name];
    const at::Tensor direction = at::randn(matrix.sizes(), at::kDouble);
    const double h = 1e-5;
    matrix.add_(direction, h);
    const double above = loss(microbatch, samples);
    matrix.add_(direction, -2 * h);
    const double below = loss(microbatch, samples);
    matrix.add_(direction, h);
    const double expected = (adapter.gradients[site.name] * direction).sum().item<double>();
    EXPECT_NEAR((above - below) / (2 * h), expected, 1e-6 * (1 + std::abs(expected))) << site.name;
  }
}

TEST_F(TFew, WithoutWrongChoicesItIsThePlainLossToTheBit) {
  const Microbatch microbatch = batch({{2}, {1}, {5}});
  LlamaModel base(checkpoint, at::kFloat, at::kCPU, BaseUse::training);
  probe::MatrixAdapter plain = adapter, tfew = adapter;
  const at::Tensor nll = base.forward_backward(microbatch, plain);
  double expected = 0, loss = 0;
  for (size_t i = 0; i < microbatch.target_weights.size(); ++i)
    expected += nll[static_cast<int64_t>(i)].item<double>() * static_cast<double>(microbatch.target_weights[i]);
  const at::Tensor same = base.forward_backward(
      microbatch, tfew, {.weights = [&](const Microbatch& r, std::span<const float> all, std::span<float> weights) {
        loss = tfew_loss(r, all, weights);
      }});
  EXPECT_TRUE(at::equal(nll, same));
  EXPECT_EQ(loss, expected);
  for (const Site& site : base.sites())
    EXPECT_TRUE(at::equal(plain.gradients[site.name], tfew.gradients[site.name])) << site.name;
}

TEST_F(TFew, WrongChoicesWantTheirOutputBeforeThem) {
  Microbatch microbatch = batch({{2, 1}, {1, 2}});
  std::vector<float> nll(microbatch.scored_tokens.size(), 1.0f);
  microbatch.decoder.samples = {0, 1, 1, 1};
  EXPECT_ANY_THROW(tfew_loss(microbatch, nll, {}));
  microbatch.decoder.samples = {};
  microbatch.choices = {1, 0, 0, 1};
  EXPECT_ANY_THROW(tfew_loss(microbatch, nll, {}));
}

}  // namespace
}  // namespace gaggle
