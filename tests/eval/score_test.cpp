// Scoring and greedy generation on stories260K: what batching, sharing and caching must not change.
#include "eval/score.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "adapter/routed.h"
#include "base/philox.h"
#include "eval/greedy.h"

namespace gaggle {
namespace {

using Ids = std::vector<int32_t>;

class Stories : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    const auto path = std::filesystem::path(GAGGLE_SOURCE_DIR) / "../shared/models/stories260K";
    if (std::filesystem::exists(path))
      base_ = load_base_model(*open_model(path.string(), ""), at::kFloat, at::kCPU, BaseUse::inference);
  }
  static void TearDownTestSuite() { base_.reset(); }
  void SetUp() override {
    if (!base_) GTEST_SKIP() << "../shared/models/stories260K is not there";
  }

  Ids ids(size_t n, uint64_t seed) const {
    Ids out;
    for (size_t i = 0; i < n; ++i)
      out.push_back(
          static_cast<int32_t>(random_bits(random_key("ids", {seed}), i) % uint64_t(base_->spec().vocab)));
    return out;
  }
  // Three random experts with random gates on every site, strong enough to change what is written.
  std::unique_ptr<RoutedAdapter> router() const {
    RoutedCollection collection;
    collection.names = {"a", "b", "c"};
    const auto normal = [](std::vector<int64_t> shape, uint64_t seed, double std) {
      auto values = at::empty(shape, at::kFloat);
      fill_normal(random_key("test", {seed}), std,
                  {values.data_ptr<float>(), static_cast<size_t>(values.numel())});
      return values;
    };
    for (const Site& site : base_->sites()) {
      std::vector<LowRank> pairs;
      std::vector<at::Tensor> gates;
      for (uint64_t z = 0; z < 3; ++z) {
        const uint64_t seed = 10 * static_cast<uint64_t>(site.index) + z;
        pairs.push_back({normal({4, site.d_in}, seed, 0.1), normal({site.d_out, 4}, seed + 5, 0.3), 1, {}});
        gates.push_back(normal({site.d_in}, seed + 7000, 1));
      }
      collection.sites.push_back(stack_experts(std::move(pairs)));
      collection.gates.push_back(std::move(gates));
    }
    return make_phatgoose(collection, 2);
  }

  static std::unique_ptr<BaseModel> base_;
};
std::unique_ptr<BaseModel> Stories::base_;

struct Examples {
  std::vector<Ids> prompts;
  std::vector<std::vector<Ids>> continuations;
  std::vector<Question> questions() const {
    std::vector<Question> out;
    for (size_t i = 0; i < prompts.size(); ++i) {
      out.push_back({prompts[i], {}});
      for (const Ids& ids : continuations[i]) out.back().continuations.push_back(ids);
    }
    return out;
  }
};

// NLL of a continuation by one pass over prompt and continuation, nothing shared.
double alone(BaseModel& base, SiteAdapter* adapter, const Ids& prompt, const Ids& continuation) {
  Ids ids = prompt;
  ids.insert(ids.end(), continuation.begin(), continuation.end());
  Rows rows;
  append_sequence(rows, std::span(ids).first(ids.size() - 1), 0);
  rows.segments = {{0, 0, rows.count()}};
  std::vector<int64_t> all(static_cast<size_t>(rows.count()));
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<int64_t>(i);
  const auto logits = base.logits(base.forward(rows, adapter, nullptr), all).to(at::kDouble).log_softmax(1);
  double nll = 0;
  for (size_t j = 0; j < continuation.size(); ++j)
    nll -= logits[static_cast<int64_t>(prompt.size() + j) - 1][continuation[j]].item<double>();
  return nll;
}

TEST_F(Stories, shared_prompts_score_as_each_choice_alone) {
  Examples examples;
  for (uint64_t i = 0; i < 6; ++i) {
    examples.prompts.push_back(ids(3 + 5 * i % 17, i));
    examples.continuations.emplace_back();
    for (uint64_t c = 0; c < 1 + i % 4; ++c)
      examples.continuations.back().push_back(ids(1 + (3 * c + i) % 5, 100 + 10 * i + c));
  }
  const auto router = this->router();
  for (SiteAdapter* adapter : {static_cast<SiteAdapter*>(nullptr), static_cast<SiteAdapter*>(router.get())})
    for (const int64_t budget : {int64_t(1), int64_t(30), int64_t(10000)}) {
      const auto scores = score_continuations(*base_, adapter, examples.questions(), budget, {});
      ASSERT_EQ(scores.size(), examples.prompts.size());
      for (size_t i = 0; i < scores.size(); ++i)
        for (size_t c = 0; c < scores[i].size(); ++c) {
          const Ids& continuation = examples.continuations[i][c];
          EXPECT_EQ(scores[i][c].tokens, static_cast<int64_t>(continuation.size()));
          const double expected = alone(*base_, adapter, examples.prompts[i], continuation);
          EXPECT_NEAR(scores[i][c].nll, expected, 1e-5 * expected) << i << " " << c << " budget " << budget;
        }
    }
}

TEST_F(Stories, greedy_with_cache_writes_what_recomputation_writes) {
  const std::vector<Ids> prompts = {ids(7, 1), ids(1, 2), ids(19, 3), ids(7, 4)};
  const std::vector<std::span<const int32_t>> spans(prompts.begin(), prompts.end());
  const auto router = this->router();
  for (SiteAdapter* adapter : {static_cast<SiteAdapter*>(nullptr), static_cast<SiteAdapter*>(router.get())}) {
    GreedyOptions options;
    options.max_new_tokens = 12;
    std::vector<Ids> expected;
    for (const Ids& prompt : prompts) {
      Ids all = prompt;
      for (int64_t i = 0; i < options.max_new_tokens; ++i) {
        Rows rows;
        append_sequence(rows, all, 0);
        rows.segments = {{0, 0, rows.count()}};
        const int64_t last = rows.count() - 1;
        all.push_back(static_cast<int32_t>(
            base_->logits(base_->forward(rows, adapter, nullptr), {&last, 1}).argmax(1).item<int64_t>()));
      }
      expected.emplace_back(all.begin() + static_cast<std::ptrdiff_t>(prompt.size()), all.end());
    }
    for (const int64_t budget : {int64_t(1), int64_t(10000)}) {
      options.token_budget = budget;
      EXPECT_EQ(generate_greedy(*base_, adapter, spans, options), expected);
    }
    // It ends before the end token, whichever row says it when.
    options.end = expected[0][3];
    const auto ended = generate_greedy(*base_, adapter, spans, options);
    for (size_t i = 0; i < expected.size(); ++i) {
      Ids until(expected[i].begin(), std::find(expected[i].begin(), expected[i].end(), options.end));
      EXPECT_EQ(ended[i], until);
    }
  }
}

TEST(BestChoice, is_the_least_nll_per_token_and_the_first_of_equals) {
  EXPECT_EQ(best_choice(std::vector<ContinuationScore>{{3, 1}, {4, 2}, {9, 3}}), 1);
  EXPECT_EQ(best_choice(std::vector<ContinuationScore>{{3, 1}, {2, 1}, {4, 2}}), 1);
}

TEST(Batches, are_by_length_within_the_budget_and_lose_nothing) {
  const std::vector<int64_t> lengths = {5, 1, 9, 5, 20, 2};
  const auto batches = batches_by_length(lengths, 10);
  const std::vector<std::vector<size_t>> expected = {{1, 5, 0}, {3}, {2}, {4}};
  EXPECT_EQ(batches, expected);
}

}  // namespace
}  // namespace gaggle
