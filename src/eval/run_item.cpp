// One item: its examples scored, generated, and compared with their targets.

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
  for (const TokenExample& example : examples) prompts.push_back({example.source, example.input});
  GenerateOptions options = generate_options(context.eval);
  options.end = end;
  options.token_budget = context.token_budget;
  options.between = between;
  const auto outputs = generate(context.base, adapter, prompts, options);
  for (size_t i = 0; i < examples.size(); ++i) {
    results[i].prediction = context.tokenizer.decode(outputs[i]);
    results[i].predicted = true;
    results[i].correct = stripped(results[i].prediction) == stripped(results[i].target_text);
  }
}

}  // namespace

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
  const auto scores = score_continuations(context.base, adapter, questions, context.token_budget, between);
  for (size_t i = 0; i < scores.size(); ++i) {
    ExampleResult& out = result.examples[i];
    out.scores = scores[i];
    if (out.choices.empty()) continue;
    const auto best = static_cast<size_t>(best_choice(out.scores));
    out.prediction = out.choices[best];
    out.predicted = true;
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
