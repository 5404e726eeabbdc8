// gaggle data show: a task's examples as training sees them. Loads the tokenizer, never the weights.
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "app/command.h"
#include "base/names.h"
#include "base/table.h"
#include "job/inputs.h"

namespace gaggle {
namespace {

struct DataShowOptions {
  std::string task, split = "train";
  bool jsonl = false;    // {"id","input_ids","target_ids"} of each example, else a readable page
  int64_t examples = 0;  // 0: all
};

const TokenTask& find_task(const Inputs& inputs, const std::string& name) {
  std::vector<std::string> names;
  for (const auto& task : inputs.tasks) {
    if (task.name == name) return task;
    names.push_back(task.name);
  }
  const std::string near = nearest_name(name, names);
  user_error("--task {}: data.tasks has no such task{}; there are: {}", name,
             near.empty() ? "" : fmt::format(" (did you mean {}?)", near), join(names, ", "));
}

Split split_of(const std::string& name) {
  const auto found = std::find(split_names.begin(), split_names.end(), name);
  if (found == split_names.end())
    user_error("--split {}: expected one of {}", name, fmt::join(split_names, ", "));
  return static_cast<Split>(found - split_names.begin());
}

// Tokens one by one, so that a reader sees where they part.
std::string tokens_text(const Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
  std::string text;
  for (const int32_t id : ids) text += fmt::format("{}{}", text.empty() ? "" : "|", tokenizer.token_of(id));
  return text;
}

// The prompt, whichever part of the model reads it.
const std::vector<int32_t>& shown_input(const TokenExample& example) {
  return example.source.empty() ? example.input : example.source;
}

void print_page(const TokenTask& task, const std::vector<TokenExample>& examples, size_t shown,
                const std::string& split, const Tokenizer& tokenizer) {
  size_t cut = 0, longest = 0, tokens = 0;
  for (const auto& example : examples) {
    const size_t length = shown_input(example).size() + example.target.size();
    cut += example.cut;
    tokens += length;
    longest = std::max(longest, length);
  }
  fmt::print("{} · {} · {} examples · {} tokens, longest {} · {} cut · end token {} ({})\n", task.name, split,
             with_commas(static_cast<int64_t>(examples.size())), with_commas(static_cast<int64_t>(tokens)),
             longest, cut, task.end_id, tokenizer.token_of(task.end_id));
  for (size_t i = 0; i < shown; ++i) {
    const TokenExample& example = examples[i];
    fmt::print("\n{} · {} + {} tokens{}\n", example.id, shown_input(example).size(), example.target.size(),
               example.cut ? " · cut" : "");
    fmt::print("  input   {}\n", tokens_text(tokenizer, shown_input(example)));
    fmt::print("          {}\n", fmt::join(shown_input(example), " "));
    fmt::print("  target  {}\n", tokens_text(tokenizer, example.target));
    fmt::print("          {}\n", fmt::join(example.target, " "));
    if (example.choices.empty()) continue;
    fmt::print("  choices {}, the {}. is right\n", example.choices.size(), example.answer + 1);
    for (const auto& choice : example.choices) fmt::print("          {}\n", tokens_text(tokenizer, choice));
  }
  if (shown < examples.size()) fmt::print("\n… {} examples more\n", examples.size() - shown);
}

Exit show_data(const Config& config, const DataShowOptions& options) {
  const Split split = split_of(options.split);
  const Inputs inputs = load_inputs(config, config.data.tasks, config.data.limit_examples);
  const TokenTask& task = find_task(inputs, options.task);
  const auto& examples = task.examples(split);
  const size_t shown =
      options.examples > 0 ? std::min(examples.size(), static_cast<size_t>(options.examples)) : examples.size();
  if (!options.jsonl) {
    print_page(task, examples, shown, options.split, *inputs.tokenizer);
    return Exit::done;
  }
  for (size_t i = 0; i < shown; ++i) {
    nlohmann::ordered_json line;
    line["id"] = examples[i].id;
    line["input_ids"] = shown_input(examples[i]);
    line["target_ids"] = examples[i].target;
    std::puts(line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
  }
  return Exit::done;
}

}  // namespace

Command data_command() {
  return {"data", "Look at tasks", [](CLI::App& parser) {
            parser.require_subcommand(1);
            CLI::App* show = parser.add_subcommand("show", "Show a task's examples as training sees them");
            const auto options = std::make_shared<DataShowOptions>();
            show->add_option("--task", options->task, "Name of the task")->required();
            show->add_option("--split", options->split, "train, validation or test")
                ->check(CLI::IsMember({"train", "validation", "test"}))
                ->capture_default_str();
            show->add_flag("--jsonl", options->jsonl,
                           "One {\"id\",\"input_ids\",\"target_ids\"} a line instead of a page");
            show->add_option("--examples", options->examples, "Only so many examples (0: all)")
                ->check(CLI::NonNegativeNumber);
            return with_config(*show, [options](const Config& config) { return show_data(config, *options); });
          }};
}

}  // namespace gaggle
