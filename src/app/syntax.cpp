#include "app/syntax.h"

#include <algorithm>

#include "base/names.h"

namespace gaggle {
namespace {

std::string typed_text(const std::vector<std::string>& words) {
  return words.empty() ? "gaggle" : "gaggle " + join(words, " ");
}

std::vector<std::string> words_of(const CLI::App& command) {
  if (!command.get_parent()) return {};
  std::vector<std::string> words = words_of(*command.get_parent());
  words.push_back(command.get_name());
  return words;
}

// CLI11 says it as "TEXT:{train,test}".
std::vector<std::string> choices_of(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  const size_t begin = type.find('{'), end = type.find('}');
  return begin == std::string::npos || end == std::string::npos
             ? std::vector<std::string>()
             : CLI::detail::split(type.substr(begin + 1, end - begin - 1), ',');
}

OptionSyntax syntax_of(const CLI::Option& option) {
  OptionSyntax syntax;
  syntax.help = option.get_description();
  syntax.choices = choices_of(option);
  syntax.required = option.get_required();
  const std::string type = option.get_type_name(), text = option.get_option_text();
  if (option.get_positional()) {
    const bool several = option.get_expected_max() > 1;
    syntax.name = !text.empty() ? text : option.get_name() + (several ? "…" : "");
    if (text.empty() && !syntax.required) syntax.name = "[" + syntax.name + "]";
    return syntax;
  }
  syntax.name = "--" + option.get_lnames().at(0);
  if (option.get_items_expected_max() == 0) return syntax;
  syntax.value = !text.empty()             ? text
                 : !syntax.choices.empty() ? join(syntax.choices, "|")
                                           : type.substr(0, type.find(':'));
  if (!option.get_default_str().empty()) syntax.help += " (default: " + option.get_default_str() + ")";
  return syntax;
}

}  // namespace

std::string CommandSyntax::typed() const { return typed_text(words); }

bool CommandSyntax::takes_keys() const {
  for (const OptionSyntax& argument : arguments)
    if (argument.name == "CONFIG" || argument.name == "[CONFIG|RUN]") return true;
  return false;
}

CommandSyntax syntax_of(const CLI::App& command) {
  CommandSyntax syntax{words_of(command), command.get_description(), command.get_footer(), {}, {}, {}};
  for (const CLI::Option* option : command.get_options())
    (option->get_positional() ? syntax.arguments : syntax.options).push_back(syntax_of(*option));
  // The page itself is the last thing to say of it.
  std::ranges::stable_partition(syntax.options, [](const OptionSyntax& option) { return option.name != "--help"; });
  for (const CLI::App* action : command.get_subcommands([](const CLI::App*) { return true; }))
    syntax.actions.push_back(syntax_of(*action));
  return syntax;
}

std::vector<const CommandSyntax*> all_of(const CommandSyntax& root) {
  std::vector<const CommandSyntax*> all = {&root};
  for (const CommandSyntax& action : root.actions)
    for (const CommandSyntax* inner : all_of(action)) all.push_back(inner);
  return all;
}

std::string typed(const CLI::App& command) { return typed_text(words_of(command)); }

std::string help_hint(const CLI::App& command) { return typed(command) + " --help"; }

}  // namespace gaggle
