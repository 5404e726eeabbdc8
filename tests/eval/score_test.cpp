// Scoring on stories260K: what batching and sharing must not change.
#include "eval/score.h"

#include "../model/fake_checkpoint.h"
#include "stories.h"

namespace gaggle {
namespace {

struct Examples {
  std::vector<Ids> prompts;
  std::vector<std::vector<Ids>> continuations;
  std::vector<Question> questions() const {
    std::vector<Question> out;
    for (size_t i = 0; i < prompts.size(); ++i) {
      out.push_back({{}, prompts[i], {}});
      for (const Ids& ids : continuations[i]) out.back().continuations.push_back(ids);
    }
    return out;
  }
};

// NLL of a continuation by one pass over the whole text, nothing shared.
double alone(BaseModel& base, SiteAdapter* adapter, const Ids& prompt, const Ids& continuation) {
  Ids ids = prompt;
  ids.insert(ids.end(), continuation.begin(), continuation.end());
  Microbatch batch;
  append_sequence(batch.decoder, ids);
  batch.decoder.segments = {{0, 0, batch.decoder.count()}};
  std::vector<int64_t> all(static_cast<size_t>(batch.decoder.count()));
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<int64_t>(i);
  const auto logits = base.logits(base.forward(batch, adapter, nullptr), all).to(at::kDouble).log_softmax(1);
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

// Where positions go by a text's length: choices whose texts are turned apart have no pass in common.
TEST(ByLength, each_choice_scores_as_its_whole_text) {
  const auto ids = [](int n, int seed) {
    Ids out;
    for (int i = 0; i < n; ++i) out.push_back((7 * i + 13 * seed) % 100);
    return out;
  };
  Examples examples;
  for (const int n : {3, 6, 9, 17}) examples.prompts.push_back(ids(n, n));
  examples.continuations = {{ids(2, 1), ids(5, 2), ids(6, 3)},
                            {ids(1, 1), ids(2, 2), ids(3, 4), ids(3, 5)},
                            {ids(4, 1), ids(4, 2)},
                            {ids(1, 1), ids(5, 2)}};
  for (const char* type : {"dynamic", "longrope"}) {
    const FakeCheckpoint checkpoint(0, false, false, scaled_by_length(type));
    const auto base = load_base_model(checkpoint, at::kFloat, at::kCPU, BaseUse::inference);
    for (const int64_t budget : {int64_t(1), int64_t(10000)}) {
      const auto scores = score_continuations(*base, nullptr, examples.questions(), budget, {});
      ASSERT_EQ(scores.size(), examples.prompts.size());
      for (size_t i = 0; i < scores.size(); ++i) {
        ASSERT_EQ(scores[i].size(), examples.continuations[i].size());
        for (size_t c = 0; c < scores[i].size(); ++c) {
          const Ids& continuation = examples.continuations[i][c];
          EXPECT_EQ(scores[i][c].tokens, static_cast<int64_t>(continuation.size()));
          const double expected = alone(*base, nullptr, examples.prompts[i], continuation);
          EXPECT_NEAR(scores[i][c].nll, expected, 1e-5 * expected) << type << i << " " << c;
        }
      }
    }
  }
}

TEST(Batches, are_by_length_within_the_budget_and_lose_nothing) {
  const std::vector<int64_t> lengths = {5, 1, 9, 5, 20, 2};
  const auto batches = batches_by_length(lengths, 10);
  const std::vector<std::vector<size_t>> expected = {{1, 5, 0}, {3}, {2}, {4}};
  EXPECT_EQ(batches, expected);
}

}  // namespace
}  // namespace gaggle
