#include "app/help.h"

#include "base/entries.h"
#include "base/screen.h"

namespace gaggle {
namespace {

std::string usage(const CommandSyntax& command) {
  std::string text = "usage: " + command.typed();
  if (!command.actions.empty()) text += command.words.empty() ? " COMMAND …" : " ACTION …";
  for (const OptionSyntax& argument : command.arguments) text += " " + argument.name;
  for (const OptionSyntax& option : command.options)
    if (option.required) text += " " + option.name + " " + option.value;
  if (command.actions.empty()) text += " [options]";
  if (command.takes_keys()) text += " [--section.key=VALUE …]";
  return text;
}

std::string block(const char* title, const std::vector<PageEntry>& entries, size_t width) {
  return entries.empty() ? "" : std::string("\n") + title + "\n" + entries_block(entries, width);
}

std::vector<PageEntry> entries_of(const std::vector<OptionSyntax>& options) {
  std::vector<PageEntry> entries;
  for (const OptionSyntax& option : options)
    entries.push_back({option.name + (option.value.empty() ? "" : " " + option.value), option.help});
  return entries;
}

std::string more(const CommandSyntax& command) {
  if (command.words.empty())
    return "gaggle COMMAND --help says more of one, gaggle help config what a config may hold; gaggle completion sets up "
           "the TAB key.";
  if (!command.actions.empty()) return command.typed() + " ACTION --help says more of one.";
  if (command.takes_keys())
    return "Any key of the config may stand on the command line, as --train.lr=1e-3: gaggle help config lists them.";
  return "";
}

std::string indented(const std::string& lines) {
  std::string text = "  ";
  for (const char c : lines) text += c == '\n' ? "\n  " : std::string(1, c);
  return text;
}

class HelpFormatter : public CLI::FormatterBase {
  std::string make_help(const CLI::App* command, std::string, CLI::AppFormatMode) const override {
    return help_page(syntax_of(*command), page_columns());
  }
};

}  // namespace

std::string help_page(const CommandSyntax& command, size_t width) {
  std::vector<PageEntry> actions;
  for (const CommandSyntax& action : command.actions) actions.push_back({action.words.back(), action.help});
  std::string text = wrapped(usage(command), width, 4) + "\n\n" + wrapped(command.help, width) + "\n";
  text += block("arguments", entries_of(command.arguments), width);
  text += block(command.words.empty() ? "commands" : "actions", actions, width);
  text += block("options", entries_of(command.options), width);
  if (const std::string words = more(command); !words.empty()) text += "\n" + wrapped(words, width) + "\n";
  if (!command.examples.empty()) text += "\nexamples\n" + wrapped(indented(command.examples), width, 4) + "\n";
  return text;
}

std::shared_ptr<CLI::FormatterBase> help_formatter() { return std::make_shared<HelpFormatter>(); }

}  // namespace gaggle
