#include "app/command_line.h"

#include <algorithm>
#include <map>
#include <memory>
#include <sstream>

#include "app/command.h"
#include "base/names.h"
#include "base/terminal.h"
#include "config/read.h"
#include "job/plan.h"

namespace gaggle {
namespace {

// "--section.key=value" and "--section.key value" may stand anywhere; the rest is left for CLI11.
std::vector<std::string> take_overrides(const std::vector<std::string>& words, std::vector<std::string>& overrides) {
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

std::vector<Command> all_commands() {
#define GAGGLE_LIST(NAME) NAME##_command(),
  return {GAGGLE_COMMANDS(GAGGLE_LIST)};
#undef GAGGLE_LIST
}

// The parsers of the program and of its commands, and what each command runs.
struct Parsers {
  CLI::App app{"gaggle trains collections of small experts on one frozen language model and routes through them.",
               "gaggle"};
  std::map<const CLI::App*, RunCommand> commands;

  Parsers() {
    const std::string keys =
        "Every key of the config can be set as --section.key=value. Keys, with their defaults:\n" + config_keys_block();
    app.set_version_flag("--version", program_text());
    app.require_subcommand(1);
    app.footer(keys);
    for (const Command& command : all_commands()) {
      CLI::App* parser = app.add_subcommand(command.name, command.help);
      commands[parser] = command.declare(*parser);
      if (parser->get_option_no_throw("--print-config")) parser->footer(keys);
    }
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
  const std::string meant = did_you_mean(word.substr(0, word.find('=')), known);
  if (word.starts_with("-")) user_error("unknown option {}{}; gaggle --help lists what there is", word, meant);
  if (known.empty()) user_error("one argument too many: {}; gaggle --help lists what there is", word);
  user_error("unknown command {}{}; there are: {}", word, meant, join(known, ", "));
}

}  // namespace

std::function<Exit()> parse_command_line(const std::vector<std::string>& words) {
  // They may become names in files of JSON, which is UTF-8.
  for (const std::string& word : words)
    if (!is_valid_utf8(word)) user_error("{}: not UTF-8 text; rename the file, or write it in UTF-8", in_quotes(word));
  const auto parsers = std::make_shared<Parsers>();
  CLI::App& app = parsers->app;
  std::vector<std::string> overrides;
  std::vector<std::string> rest = take_overrides(words, overrides);
  if (rest.empty() && overrides.empty()) rest = {"--help"};
  std::reverse(rest.begin(), rest.end());
  try {
    app.parse(rest);
  } catch (const CLI::Success& asked) {  // --help, --version
    std::ostringstream text;
    app.exit(asked, text, text);
    return [text = text.str()] { return print(text); };
  } catch (const CLI::ExtrasError&) {
    for (const auto& word : app.remaining(true)) unknown_word(word, chosen(&app));
    throw;
  } catch (const CLI::ParseError& error) {
    const auto* command = chosen(&app);
    if (command == &app)
      for (const auto& word : app.remaining(true)) unknown_word(word, command);
    user_error("{} ({} --help says more)", error.what(), command == &app ? "gaggle" : "gaggle " + command->get_name());
  }
  return [parsers, overrides] { return parsers->commands.at(parsers->app.get_subcommands()[0])(overrides); };
}

}  // namespace gaggle
