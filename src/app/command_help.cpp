// gaggle help: the page of a command, the keys of the config, or all of it as a man page.
#include <algorithm>

#include "app/command.h"
#include "app/help.h"
#include "app/man_page.h"
#include "base/entries.h"
#include "base/names.h"
#include "base/screen.h"
#include "config/meant.h"
#include "config/read.h"
#include "config/schema.h"

namespace gaggle {
namespace {

struct HelpRequest {
  std::vector<std::string> words;
  bool man = false;
};

std::string keys_page(const std::vector<std::string>& wanted, size_t width) {
  std::vector<std::string> sections;
  for (const Section& section : config_sections()) sections.push_back(section.name);
  for (const std::string& word : wanted)
    if (std::ranges::count(sections, word) == 0 && !find_key(word)) {
      const std::string near = word.find('.') == std::string::npos ? did_you_mean(word, sections) : "";
      user_error("the config has no section or key {}{}; sections: {}", word,
                 near.empty() ? did_you_mean_key(word) : near, join(sections, ", "));
    }
  const std::string about =
      wanted.empty() ? wrapped(
                           "A config is TOML: sections in brackets, keys below them. On the command line a key is "
                           "--section.key=VALUE. What a config comes to is printed by --print-config. Keys with their "
                           "defaults; gaggle help config SECTION shows one section.",
                           width) +
                           "\n\n"
                     : "";
  return about + config_keys_page(wanted, width);
}

const CommandSyntax& find_command(const CommandSyntax& root, const std::vector<std::string>& words) {
  const CommandSyntax* command = &root;
  for (const std::string& word : words) {
    std::vector<std::string> known;
    const CommandSyntax* found = nullptr;
    for (const CommandSyntax& action : command->actions) {
      known.push_back(action.words.back());
      if (known.back() == word) found = &action;
    }
    if (command == &root) known.push_back("config");
    if (!found && known.empty())
      user_error("{} has no actions: {} --help is all of it", command->typed(), command->typed());
    if (!found)
      user_error("{}: no help on {}{}; there are: {}", command->typed(), word, did_you_mean(word, known),
                 join(known, ", "));
    command = found;
  }
  return *command;
}

Exit show_help(const CLI::App& program, const HelpRequest& request) {
  const CommandSyntax root = syntax_of(program);
  if (request.man) {
    if (!request.words.empty())
      user_error("gaggle help --man: one page has all commands; leave out {}", request.words[0]);
    return print(man_page(root));
  }
  const size_t width = page_columns();
  if (request.words == std::vector<std::string>{"all"}) {
    std::string pages;
    for (const CommandSyntax* command : all_of(root))
      pages += (pages.empty() ? "" : "\n\n") + help_page(*command, width);
    return print(pages);
  }
  if (!request.words.empty() && request.words[0] == "config")
    return print(keys_page({request.words.begin() + 1, request.words.end()}, width));
  return print(help_page(find_command(root, request.words), width));
}

}  // namespace

Command help_command() {
  return {"help", "Show the page of a command, or the keys of the config",
          [](CLI::App& parser) {
            const auto request = std::make_shared<HelpRequest>();
            parser
                .add_option("TOPIC", request->words,
                            "A command with its action, config with sections or keys, or all: every page but those")
                ->option_text("[COMMAND [ACTION] | config [SECTION…] | all]");
            parser.add_flag("--man", request->man, "Everything as a man page (troff)");
            return without_config(parser, [&parser, request] { return show_help(*parser.get_parent(), *request); });
          },
          "gaggle help config train\ngaggle help registry import\ngaggle help --man > gaggle.1"};
}

}  // namespace gaggle
