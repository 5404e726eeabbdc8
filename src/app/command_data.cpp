// gaggle data show: a task's examples as training sees them. Loads the tokenizer, never the weights.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "app/command.h"
#include "app/ranges.h"
#include "base/log.h"
#include "base/names.h"
#include "base/terminal.h"
#include "config/read.h"
#include "data/page.h"
#include "eval/items.h"
#include "job/inputs.h"

namespace gaggle {
namespace {

struct DataShowOptions {
  std::string task, split = "train";
  bool jsonl = false;    // {"id","input_ids","target_ids"} of each example, else a readable page
  bool scored = false;   // as gaggle eval sees them
  int64_t examples = 0;  // 0: all
};

const TokenTask& find_task(const Inputs& inputs, const std::string& name) {
  std::vector<std::string> names;
  for (const auto& task : inputs.tasks) {
    if (task.name == name || (name.empty() && inputs.tasks.size() == 1)) return task;
    names.push_back(task.name);
  }
  if (name.empty()) user_error("--task: name one of {}", join(names, ", "));
  user_error("--task {}: there is no such task{}; there are: {}", name, did_you_mean(name, names), join(names, ", "));
}

Exit show_data(const Config& config, const DataShowOptions& options) {
  const Split split = split_named(options.split, "--split");
  const Inputs inputs = options.scored ? load_scored_inputs(config, split)
                                       : load_inputs(config, config.data.tasks, config.data.limit_examples);
  const TokenTask& task = find_task(inputs, options.task);
  const auto& examples = task.examples(split);
  const size_t shown =
      options.examples > 0 ? std::min(examples.size(), static_cast<size_t>(options.examples)) : examples.size();
  if (!options.jsonl) {
    print(examples_page(task, split, shown, *inputs.tokenizer));
    log::info("next: gaggle experts {} --dry-run says what training on them takes", typed_again(config));
    return Exit::done;
  }
  for (size_t i = 0; i < shown; ++i) {
    nlohmann::ordered_json line;
    line["id"] = examples[i].id;
    line["input_ids"] = shown_input(examples[i]);
    line["target_ids"] = examples[i].target;
    write_out(line.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace) + "\n");
  }
  return Exit::done;
}

RunCommand declare_show(CLI::App& parser) {
  const auto options = std::make_shared<DataShowOptions>();
  RunCommand command = with_config(parser, [options](const Config& config) { return show_data(config, *options); });
  parser.add_option("--task", options->task, "Name of the task; may be left out where there is one alone")
      ->option_text("TASK");
  parser.add_option("--split", options->split, "Which of its examples")
      ->check(CLI::IsMember({"train", "validation", "test"}))
      ->capture_default_str();
  parser.add_flag("--jsonl", options->jsonl, "One {\"id\",\"input_ids\",\"target_ids\"} a line instead of a page");
  parser.add_flag("--eval", options->scored,
                  "As gaggle eval sees them: tasks of eval.tasks, behind eval.shots solved examples");
  parser.add_option("--examples", options->examples, "Only so many (default: all)")
      ->option_text("N")
      ->check(integer_from(0));
  return command;
}

}  // namespace

Command data_command() {
  return {"data", "Look at tasks",
          with_actions({{"show", "Show a task's examples as training sees them", declare_show,
                         "gaggle data show my.toml --task tomi --examples 3"}})};
}

}  // namespace gaggle
