#include "app/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <sstream>

#include "base/error.h"
#include "base/names.h"
#include "comm/mpi_job.h"
#include "config/read.h"

namespace gaggle {
namespace {

// "--section.key=value" and "--section.key value" may stand anywhere; the rest is left for CLI11.
std::vector<std::string> take_overrides(const std::vector<std::string>& words,
                                        std::vector<std::string>& overrides) {
  std::vector<std::string> rest;
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "--") {
      rest.insert(rest.end(), words.begin() + static_cast<std::ptrdiff_t>(i), words.end());
      break;
    }
    const size_t equals = word.find('=');
    if (!word.starts_with("--") || word.substr(0, equals).find('.') == std::string::npos) {
      rest.push_back(word);
      continue;
    }
    std::string text = word.substr(2);
    if (equals == std::string::npos) {
      if (i + 1 == words.size()) user_error("{}: expected {}=VALUE", word, word);
      text += "=" + words[++i];
    }
    overrides.push_back(text);
  }
  return rest;
}

struct Commands {
  CLI::App app{
      "gaggle trains collections of small experts on one frozen language model and routes through them.",
      "gaggle"};
  CommandLine line;

  Commands() {
    const std::string keys =
        "Every key of the config can be set as --section.key=value. Keys, with their defaults:\n" +
        config_keys_text();
    app.set_version_flag("--version", version_text());
    app.require_subcommand(1);
    app.footer(keys);
    auto* experts = with_config("experts", "Train one expert (LoRA, then gate) per task into the registry");
    auto* pretrain = with_config("pretrain", "Train Poly or MHR skills over all tasks together");
    auto* gates = with_config("gates", "Train gates for experts that are in the registry");
    auto* adapt =
        with_config("adapt", "Take a pretrained skill inventory to new tasks, from a few rows of each");
    auto* eval = with_config("eval", "Score routings of a collection on tasks");
    for (auto* command : {experts, gates, pretrain, adapt, eval}) {
      command->add_flag("--dry-run", line.options.dry_run,
                        "Load and check everything, print the plan, start nothing");
      command->add_flag("--accept-base", line.options.accept_base,
                        "Write to a registry whose base has the same shapes but other contents");
      command->add_flag("--retry", line.options.retry, "Take up items that were set aside");
      command->footer(keys);
    }
    auto* generate = with_config("generate", "Answer a prompt through a routed collection");
    generate->add_option("PROMPT", line.prompt, "The prompt")->required();
    add_data();
    add_align();
    add_registry();
    add_doctor();
    add_status();
  }

  CLI::App* with_config(const std::string& name, const std::string& help, CLI::App* parent = nullptr) {
    auto* command = (parent ? parent : &app)->add_subcommand(name, help);
    command->add_option("CONFIG", line.config, "The config file (TOML)")->required();
    command->add_flag("--print-config", line.print_config, "Print the resolved config, commented, and leave");
    return command;
  }

  void add_data() {
    auto* data = app.add_subcommand("data", "Look at tasks");
    data->require_subcommand(1);
    auto* show = with_config("show", "Show a task's rows as training sees them", data);
    show->add_option("--task", line.data.task, "Name of the task")->required();
    show->add_option("--split", line.data.split, "train, validation or test")
        ->check(CLI::IsMember({"train", "validation", "test"}))
        ->capture_default_str();
    show->add_flag("--jsonl", line.data.jsonl,
                   "One {\"id\",\"input_ids\",\"target_ids\"} a line instead of a page");
    show->add_option("--rows", line.data.rows, "Only so many rows (0: all)")->check(CLI::NonNegativeNumber);
  }

  void add_align() {
    auto* align = app.add_subcommand("align", "Show and compare the gradient alignment of pretraining runs");
    align->add_option("RUN", line.align.runs, "Run folders, e.g. runs/mhr")->required();
    align
        ->add_option("--rows", line.align.rows,
                     "Measure every pair of tasks at a checkpoint, with so many rows of each task")
        ->check(CLI::PositiveNumber);
    align->add_option("--step", line.align.step, "The checkpoint's step (default: the newest)")
        ->check(CLI::NonNegativeNumber);
    align->add_option("--pairs", line.align.pairs, "Closest and most conflicting pairs to show")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
  }

  void add_status() {
    auto* status = app.add_subcommand("status", "Who works on what, and what is done, open and set aside");
    status->add_option("PATH", line.status.path, "A registry or a run folder, e.g. runs/demo")->required();
    status->add_flag("--json", line.status.json, "Print it for machines");
    status->add_flag("--watch", line.status.watch, "Look again every few seconds until all is done");
  }

  void add_registry() {
    auto* registry = app.add_subcommand("registry", "List, check and change what is in a registry");
    const std::vector<std::string> actions = {"ls", "show", "verify", "import", "export", "collect", "rm"};
    registry->add_option("ACTION", line.registry.action, join(actions, " | "))
        ->required()
        ->check(CLI::IsMember(actions));
    registry->add_option("ARGUMENTS", line.registry.arguments,
                         "Names (experts/NAME, routed/NAME, … where several kinds have it), or folders");
    line.registry.registry = "registry";
    registry->add_option("--registry", line.registry.registry, "The registry's folder")->capture_default_str();
    registry->add_option("--base", line.registry.base, "Base model that imported adapters are checked against");
    registry->add_option("--to", line.registry.to, "Folder that export writes");
    registry->add_flag("--mu", line.registry.mu,
                       "Export the averaged skills of a routed adapter, as a plain LoRA");
    registry->add_option("--name", line.registry.name,
                         "Name of the one folder that is imported, or of the collection");
    registry->add_flag("--accept-base", line.registry.accept_base,
                       "Write to a registry whose base has the same shapes but other contents");
  }

  void add_doctor() {
    auto* doctor = app.add_subcommand(
        "doctor", "Check machine, hosts, MPI, GPUs and folders for a run; under mpirun on every host");
    doctor->add_option(
        "CONFIG", line.doctor.where,
        "The config whose folders are meant, or a run folder: what its ranks were at when it hung");
    doctor->add_option("--folder", line.doctor.folders, "Also look at this folder (several: repeat it)")
        ->take_all();
    doctor->add_option("--mb", line.doctor.megabytes, "Megabytes that each host writes and reads per folder")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
  }
};

// The innermost command that was typed.
const CLI::App* chosen(const CLI::App* app) {
  const auto inner = app->get_subcommands();
  return inner.empty() ? app : chosen(inner[0]);
}

[[noreturn]] void unknown_word(const std::string& word, const CLI::App* command) {
  std::vector<std::string> known;
  if (word.starts_with("-")) {
    for (const auto* option : command->get_options())
      for (const auto& name : option->get_lnames()) known.push_back("--" + name);
    for (const auto& key : config_key_names()) known.push_back("--" + key);
  } else {
    for (const auto* inner : command->get_subcommands([](const CLI::App*) { return true; }))
      known.push_back(inner->get_name());
  }
  const std::string near = nearest_name(word.substr(0, word.find('=')), known);
  const std::string meant = near.empty() ? "" : fmt::format(" (did you mean {}?)", near);
  if (word.starts_with("-")) user_error("unknown option {}{}; gaggle --help lists what there is", word, meant);
  if (known.empty()) user_error("one argument too many: {}; gaggle --help lists what there is", word);
  user_error("unknown command {}{}; there are: {}", word, meant, join(known, ", "));
}

}  // namespace

std::string version_text() {
  return fmt::format("gaggle {} · LibTorch {} · {}", GAGGLE_VERSION, GAGGLE_TORCH_VERSION,
                     mpi_library_version());
}

CommandLine parse_command_line(const std::vector<std::string>& words) {
  Commands commands;
  CommandLine& line = commands.line;
  CLI::App& app = commands.app;
  std::vector<std::string> rest = take_overrides(words, line.overrides);
  if (rest.empty() && line.overrides.empty()) rest = {"--help"};
  std::reverse(rest.begin(), rest.end());
  try {
    app.parse(rest);
  } catch (const CLI::Success& asked) {  // --help, --version
    std::ostringstream text;
    app.exit(asked, text, text);
    line.text = text.str();
    return line;
  } catch (const CLI::ExtrasError&) {
    const auto* command = chosen(&app);
    for (const auto& word : app.remaining(true)) unknown_word(word, command);
    throw;
  } catch (const CLI::ParseError& error) {
    const auto* command = chosen(&app);
    if (command == &app)
      for (const auto& word : app.remaining(true)) unknown_word(word, command);
    user_error("{} ({} --help says more)", error.what(),
               command == &app ? "gaggle" : "gaggle " + command->get_name());
  }
  const auto* command = chosen(&app);
  line.command = command->get_parent() == &app ? command->get_name()
                                               : command->get_parent()->get_name() + " " + command->get_name();
  if ((line.command == "registry" || line.command == "align" || line.command == "status") &&
      !line.overrides.empty())
    user_error("--{}: gaggle {} takes no keys of the config; gaggle {} --help lists its options",
               line.overrides[0].substr(0, line.overrides[0].find('=')), line.command, line.command);
  return line;
}

}  // namespace gaggle
