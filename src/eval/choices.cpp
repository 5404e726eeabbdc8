#include "eval/choices.h"

#include <algorithm>
#include <map>

#include "base/error.h"
#include "base/sha256.h"

namespace gaggle {

NoQuestion no_question(const Tokenizer& tokenizer, int32_t decoder_start, int32_t end) {
  std::vector<int32_t> empty = tokenizer.prefix;
  if (decoder_start >= 0) empty.insert(empty.end(), tokenizer.suffix.begin(), tokenizer.suffix.end());
  if (empty.empty()) empty = {tokenizer.bos.value_or(end)};
  if (decoder_start >= 0) return {std::move(empty), {decoder_start}};
  return {{}, std::move(empty)};
}

std::vector<std::vector<double>> prior_nlls(BaseModel& base, SiteAdapter* adapter, const NoQuestion& no_question,
                                            std::span<const TokenExample> examples, int64_t token_budget,
                                            const std::function<void()>& between) {
  std::map<std::vector<int32_t>, size_t> places;
  std::vector<Question> questions;
  for (const TokenExample& example : examples)
    for (const auto& choice : example.choices)
      if (const auto [place, is_new] = places.emplace(choice, questions.size()); is_new)
        questions.push_back({no_question.source, no_question.prompt, {place->first}});
  const auto scores = score_continuations(base, adapter, questions, token_budget, between);
  std::vector<std::vector<double>> priors;
  for (const TokenExample& example : examples) {
    auto& of_example = priors.emplace_back();
    for (const auto& choice : example.choices) of_example.push_back(scores[places.at(choice)][0].nll);
  }
  return priors;
}

std::vector<double> choice_scores(const std::string& normalise, const TokenExample& example,
                                  std::span<const ContinuationScore> choices, std::span<const double> priors) {
  std::vector<double> scores;
  for (size_t c = 0; c < choices.size(); ++c) {
    if (normalise == "tokens")
      scores.push_back(choices[c].mean());
    else if (normalise == "characters")
      scores.push_back(choices[c].nll / static_cast<double>(example.choice_characters[c]));
    else if (normalise == "prior")
      scores.push_back(choices[c].nll - priors[c]);
    else
      scores.push_back(choices[c].nll);
  }
  return scores;
}

size_t best_choice(std::span<const double> scores) {
  return static_cast<size_t>(std::ranges::min_element(scores) - scores.begin());
}

std::string choice_rule(const EvalConfig& eval, const TokenTask& task, std::span<const TokenExample> examples,
                        const Tokenizer& tokenizer, int32_t decoder_start) {
  if (task.metric != "accuracy" || eval.normalise == "tokens") return "";
  Sha256 digest;  // of numbers that the tokens do not tell
  const auto add = [&](const auto& numbers) {
    for (const auto number : numbers) digest.update(fmt::format("{} ", number));
    digest.update("\n");
  };
  if (eval.normalise == "characters")
    for (const TokenExample& example : examples) add(example.choice_characters);
  if (eval.normalise == "prior") {
    const NoQuestion context = no_question(tokenizer, decoder_start, task.end_id);
    add(context.source);
    add(context.prompt);
  }
  return fmt::format("{} {}", eval.normalise, digest.hex());
}

}  // namespace gaggle
