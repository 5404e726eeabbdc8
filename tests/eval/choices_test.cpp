// Rank classification: what is made of the choices' NLLs, and what a prior is.
#include "eval/choices.h"

#include "../data/fixtures.h"
#include "stories.h"

namespace gaggle {
namespace {

size_t chosen(const std::string& normalise, const std::vector<ContinuationScore>& scores,
              const std::vector<int64_t>& characters = {}, const std::vector<double>& priors = {}) {
  TokenExample example;
  example.choice_characters = characters;
  return best_choice(choice_scores(normalise, example, scores, priors));
}

TEST(Choices, each_rule_takes_another) {
  const std::vector<ContinuationScore> scores = {{3, 1}, {4, 2}, {6, 2}, {9, 4}};
  const std::vector<int64_t> characters = {2, 2, 6, 5};
  const std::vector<double> priors = {2, 1, 3, 8};
  EXPECT_EQ(chosen("none", scores), 0u);
  EXPECT_EQ(chosen("tokens", scores), 1u);
  EXPECT_EQ(chosen("characters", scores, characters), 2u);  // 1.5, 2, 1, 1.8
  EXPECT_EQ(chosen("prior", scores, {}, priors), 0u);       // 1, 3, 3, 1: the first of equals
  EXPECT_EQ(chosen("prior", scores, {}, std::vector<double>{2, 1, 3, 9}), 3u);
  EXPECT_EQ(chosen("tokens", {{3, 1}, {2, 1}, {4, 2}}), 1u);  // equal to the third
}

TEST(Choices, no_question_is_what_stands_around_an_empty_text) {
  ByteTokenizer tokenizer;
  EXPECT_EQ(no_question(tokenizer, -1, 257).prompt, std::vector<int32_t>{258});  // BOS
  tokenizer.bos.reset();
  EXPECT_EQ(no_question(tokenizer, -1, 257).prompt, std::vector<int32_t>{257});  // the end token
  tokenizer.prefix = {7, 8};
  EXPECT_EQ(no_question(tokenizer, -1, 257).prompt, (std::vector<int32_t>{7, 8}));
  EXPECT_TRUE(no_question(tokenizer, -1, 257).source.empty());
  tokenizer.prefix = {};
  tokenizer.suffix = {9};
  const NoQuestion t5 = no_question(tokenizer, 3, 257);
  EXPECT_EQ(t5.source, std::vector<int32_t>{9});
  EXPECT_EQ(t5.prompt, std::vector<int32_t>{3});
  EXPECT_EQ(no_question(tokenizer, -1, 257).prompt, std::vector<int32_t>{257});  // a decoder has no suffix
}

TEST(Choices, characters_are_code_points_of_the_task_file) {
  Task task;
  task.name = "t";
  task.metric = "accuracy";
  task.splits[2] = {{.id = "1", .messages = {{"user", "q"}}, .output = "né", .choices = {"né", "日本語", " a"}}};
  TokenizeOptions options;
  options.prompt = "{input}";
  options.truncate = "left";
  options.max_target_tokens = 3;  // a cut of the tokens is none of the text
  const TokenTask tokens = tokenize_task(task, ByteTokenizer(), options);
  EXPECT_EQ(tokens.splits[2][0].choice_characters, (std::vector<int64_t>{2, 3, 2}));
}

TEST(Choices, keys_know_what_else_decides) {
  ByteTokenizer tokenizer;
  TokenTask task;
  task.metric = "accuracy";
  task.end_id = 257;
  std::vector<TokenExample> examples(1);
  examples[0].choice_characters = {2, 3};
  EvalConfig eval;
  const auto rule = [&] { return choice_rule(eval, task, examples, tokenizer, -1); };
  EXPECT_EQ(rule(), "");
  std::set<std::string> all;
  for (const char* normalise : {"none", "prior", "characters"}) {
    eval.normalise = normalise;
    all.insert(rule());
  }
  examples[0].choice_characters = {2, 4};
  all.insert(rule());
  eval.normalise = "prior";
  tokenizer.bos = 5;
  all.insert(rule());
  EXPECT_EQ(all.size(), 5u);
  EXPECT_FALSE(all.contains(""));
  task.metric = "exact_match";
  EXPECT_EQ(rule(), "");
}

TEST_F(Stories, a_prior_is_the_choice_behind_no_question) {
  std::vector<TokenExample> examples(2);
  examples[0].choices = {{5, 9, 2}, {7, 2}};
  examples[1].choices = {{7, 2}, {11, 2}, {5, 9, 2}};
  const NoQuestion context{{}, {1}};
  const auto router = this->router();
  const auto priors = prior_nlls(*base_, router.get(), context, examples, 100, {});
  ASSERT_EQ(priors.size(), 2u);
  for (size_t i = 0; i < 2; ++i)
    for (size_t c = 0; c < examples[i].choices.size(); ++c) {
      const Question question{{}, context.prompt, {examples[i].choices[c]}};
      const auto alone = score_continuations(*base_, router.get(), std::span(&question, 1), 100, {});
      EXPECT_NEAR(priors[i][c], alone[0][0].nll, 1e-5 * alone[0][0].nll);
    }
  EXPECT_EQ(priors[0][0], priors[1][2]);
}

}  // namespace
}  // namespace gaggle
