#include "app/command_line.h"

#include <algorithm>
#include <memory>
#include <sstream>

#include "app/command.h"
#include "app/help.h"
#include "base/names.h"
#include "base/terminal.h"
#include "config/meant.h"
#include "job/version.h"

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

// The program's parser with those of its commands, and what they run.
struct Parsers {
  CLI::App app{"Trains collections of small experts on one frozen language model and routes tokens through them.",
               "gaggle"};
  RunCommand run;

  Parsers() {
    app.formatter(help_formatter());
    app.set_help_flag("-h,--help", "This page");
    run = with_actions(all_commands())(app);
    app.set_version_flag("--version", version_block, "This program, what it was built with, and what it is fast on");
  }
};

// The innermost command that was typed.
const CLI::App* chosen(const CLI::App* app) {
  const auto inner = app->get_subcommands();
  return inner.empty() ? app : chosen(inner[0]);
}

std::vector<std::string> names_of(const std::vector<const CLI::App*>& commands) {
  std::vector<std::string> names;
  for (const CLI::App* command : commands) names.push_back(command->get_name());
  return names;
}

// Of another command or action; "": of none.
std::string belongs_to(const std::string& option, const CLI::App* root) {
  std::string owners;
  for (const CommandSyntax& syntax = syntax_of(*root); const CommandSyntax* command : all_of(syntax))
    if (std::ranges::find(command->options, option, &OptionSyntax::name) != command->options.end())
      owners += (owners.empty() ? "" : ", ") + command->typed();
  return owners;
}

[[noreturn]] void unknown_option(const std::string& word, const CLI::App* command, const CLI::App* root) {
  const std::string name = word.substr(0, word.find('='));
  std::vector<std::string> known;
  for (const OptionSyntax& option : syntax_of(*command).options) known.push_back(option.name);
  if (const std::string near = did_you_mean(name, known); !near.empty())
    user_error("unknown option {}{}; {} lists what there is", word, near, help_hint(*command));
  if (const std::string owners = belongs_to(name, root); !owners.empty())
    user_error("{}: belongs to {}; {} lists what there is here", name, owners, help_hint(*command));
  user_error("unknown option {}{}; {} lists what there is", word,
             did_you_mean_key(name.substr(std::min(name.size(), name.find_first_not_of('-'))), "--"),
             help_hint(*command));
}

[[noreturn]] void unknown_word(const std::string& word, const CLI::App* command, const CLI::App* root) {
  if (word.starts_with("-")) unknown_option(word, command, root);
  const auto known = names_of(command->get_subcommands([](const CLI::App*) { return true; }));
  if (known.empty()) user_error("one argument too many: {}; {} lists what there is", word, help_hint(*command));
  user_error("unknown {} {}{}; there are: {}", command == root ? "command" : "action", word, did_you_mean(word, known),
             join(known, ", "));
}

}  // namespace

std::function<Exit()> parse_command_line(const std::vector<std::string>& words) {
  // They may become names in files of JSON, which is UTF-8.
  for (const std::string& word : words)
    if (!is_valid_utf8(word))
      user_error("{}: not UTF-8 text; names and texts are taken in UTF-8 alone", in_quotes(word));
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
    for (const auto& word : app.remaining(true)) unknown_word(word, chosen(&app), &app);
    throw;
  } catch (const CLI::ParseError& error) {
    const auto* command = chosen(&app);
    const auto actions = names_of(command->get_subcommands([](const CLI::App*) { return true; }));
    for (const auto& word : app.remaining(true))
      if (!actions.empty() || word.starts_with("-")) unknown_word(word, command, &app);
    if (!actions.empty())
      user_error("{}: name what to do: {} ({} says more)", typed(*command), join(actions, ", "), help_hint(*command));
    if (error.what() == std::string("PROMPT is required"))
      user_error("PROMPT is required behind CONFIG: gaggle generate my.toml \"…\" ({} says more)", help_hint(*command));
    const bool config = error.what() == std::string("CONFIG is required");
    user_error("{}{} ({} says more)", error.what(), config ? ": a TOML file, as gaggle init writes one" : "",
               help_hint(*command));
  }
  return [parsers, overrides] { return parsers->run(overrides); };
}

}  // namespace gaggle
