// One item: its examples scored, generated, and compared with their targets.
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "eval/choices.h"
#include "eval/generate.h"
#include "eval/items.h"
#include "eval/text_scores.h"

namespace gaggle {
namespace {

// The ids without the end token, as text.
std::string text_of(const Tokenizer& tokenizer, std::span<const int32_t> ids, int32_t end) {
  if (!ids.empty() && ids.back() == end) ids = ids.first(ids.size() - 1);
  return tokenizer.decode(ids);
}

void generate_predictions(const EvalContext& context, const TokenTask& task, std::span<const TokenExample> examples,
                          RoutedAdapter* adapter, const std::function<void()>& between,
                          std::vector<ExampleResult>& results) {
  std::vector<GeneratePrompt> prompts;
  std::vector<ExampleResult*> asked;
  for (size_t i = 0; i < examples.size(); ++i) {
    results[i].predicted = true;
    if (!results[i].finite()) continue;  // what follows from scores that are none says nothing
    prompts.push_back({examples[i].source, examples[i].input});
    asked.push_back(&results[i]);
  }
  if (asked.empty()) return;
  GenerateOptions options = generate_options(context.eval);
  options.end = task.end_id;
  options.token_budget = context.token_budget;
  options.between = between;
  const auto outputs = generate(context.base, adapter, prompts, options);
  for (size_t i = 0; i < asked.size(); ++i) {
    asked[i]->prediction = context.tokenizer.decode(outputs[i]);
    asked[i]->score = text_score(task.metric, asked[i]->prediction, asked[i]->target_text, context.eval.stem);
  }
}

std::vector<std::vector<ContinuationScore>> no_scores(std::span<const Question> questions) {
  std::vector<std::vector<ContinuationScore>> scores;
  for (const Question& question : questions) {
    auto& of_question = scores.emplace_back();
    for (const auto& continuation : question.continuations)
      of_question.push_back({std::nan(""), static_cast<int64_t>(continuation.size())});
  }
  return scores;
}

}  // namespace

bool ExampleResult::finite() const {
  return std::ranges::all_of(scores, [](const ContinuationScore& score) { return std::isfinite(score.nll); }) &&
         std::ranges::all_of(choice_scores, [](double score) { return std::isfinite(score); });
}

ItemResult run_item(const EvalContext& context, const EvalItem& item, RoutedAdapter* adapter,
                    const std::function<void()>& between) {
  const TokenTask& task = context.tasks[item.task];
  const auto examples = std::span(task.examples(context.split)).subspan(item.first, item.last - item.first);
  const bool finite_method = not_finite_in(item.method, context.collection).empty();
  std::vector<std::vector<double>> priors(examples.size());
  if (finite_method && task.metric == "accuracy" && context.eval.normalise == "prior")
    priors = prior_nlls(context.base, adapter,
                        no_question(context.tokenizer, context.base.spec().decoder_start, task.end_id), examples,
                        context.token_budget, between);
  // Behind that: what is routed without a question is no part of the shares.
  const std::vector<double> before = adapter ? adapter->weight_by_expert() : std::vector<double>{};
  ItemResult result;
  std::vector<Question> questions;
  for (const TokenExample& example : examples) {
    ExampleResult& out = result.examples.emplace_back();
    Question& question = questions.emplace_back();
    out.id = example.id;
    out.target_text = text_of(context.tokenizer, example.target, task.end_id);
    question.source = example.source;
    question.prompt = example.input;
    if (task.metric != "accuracy" || example.choices.empty()) {
      question.continuations = {example.target};
      continue;
    }
    GAGGLE_CHECK(example.answer >= 0, "task {} example {}: the output is none of the choices", task.name, example.id);
    for (const auto& choice : example.choices) {
      question.continuations.push_back(choice);
      out.choices.push_back(text_of(context.tokenizer, choice, task.end_id));
    }
    out.target = static_cast<size_t>(example.answer);
  }
  const auto scores = finite_method
                          ? score_continuations(context.base, adapter, questions, context.token_budget, between)
                          : no_scores(questions);
  for (size_t i = 0; i < scores.size(); ++i) {
    ExampleResult& out = result.examples[i];
    out.scores = scores[i];
    if (out.choices.empty()) continue;
    out.predicted = true;
    if (!out.finite()) continue;
    out.choice_scores = choice_scores(context.eval.normalise, examples[i], out.scores, priors[i]);
    if (!out.finite()) continue;
    const size_t best = best_choice(out.choice_scores);
    out.prediction = out.choices[best];
    out.score = best == out.target ? 1 : 0;
  }
  if (is_of_generated(task.metric)) generate_predictions(context, task, examples, adapter, between, result.examples);
  if (adapter) {
    result.weight_by_expert = adapter->weight_by_expert();
    for (size_t z = 0; z < before.size(); ++z) result.weight_by_expert[z] -= before[z];
  }
  return result;
}

}  // namespace gaggle
