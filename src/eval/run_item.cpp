// One item: its examples scored, generated, and compared with their targets.
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "eval/generate.h"
#include "eval/items.h"

namespace gaggle {
namespace {

// The ids without the end token, as text.
std::string text_of(const Tokenizer& tokenizer, std::span<const int32_t> ids, int32_t end) {
  if (!ids.empty() && ids.back() == end) ids = ids.first(ids.size() - 1);
  return tokenizer.decode(ids);
}

std::string stripped(const std::string& text) {
  const char* space = " \t\r\n\f\v";
  const auto begin = text.find_first_not_of(space);
  return begin == std::string::npos ? "" : text.substr(begin, text.find_last_not_of(space) - begin + 1);
}

void generate_predictions(const EvalContext& context, std::span<const TokenExample> examples, int32_t end,
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
  options.end = end;
  options.token_budget = context.token_budget;
  options.between = between;
  const auto outputs = generate(context.base, adapter, prompts, options);
  for (size_t i = 0; i < asked.size(); ++i) {
    asked[i]->prediction = context.tokenizer.decode(outputs[i]);
    asked[i]->correct = stripped(asked[i]->prediction) == stripped(asked[i]->target_text);
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
  return std::ranges::all_of(scores, [](const ContinuationScore& score) { return std::isfinite(score.nll); });
}

ItemResult run_item(const EvalContext& context, const EvalItem& item, RoutedAdapter* adapter,
                    const std::function<void()>& between) {
  const TokenTask& task = context.tasks[item.task];
  const auto examples = std::span(task.examples(context.split)).subspan(item.first, item.last - item.first);
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
  const auto scores = not_finite_in(item.method, context.collection).empty()
                          ? score_continuations(context.base, adapter, questions, context.token_budget, between)
                          : no_scores(questions);
  for (size_t i = 0; i < scores.size(); ++i) {
    ExampleResult& out = result.examples[i];
    out.scores = scores[i];
    if (out.choices.empty()) continue;
    out.predicted = true;
    if (!out.finite()) continue;
    const auto best = static_cast<size_t>(best_choice(out.scores));
    out.prediction = out.choices[best];
    out.correct = best == out.target;
  }
  if (task.metric == "exact_match")
    generate_predictions(context, examples, task.end_id, adapter, between, result.examples);
  if (adapter) {
    result.weight_by_expert = adapter->weight_by_expert();
    for (size_t z = 0; z < before.size(); ++z) result.weight_by_expert[z] -= before[z];
  }
  return result;
}

}  // namespace gaggle
