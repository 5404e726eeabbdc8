// Scripts that make shells complete gaggle's command line: commands, actions, options, keys of the config and their values, and
// names from the registry, which are read from its folder, for a program that loads LibTorch is too slow for the TAB key.
#pragma once

#include "app/syntax.h"

namespace gaggle {

// What may stand in one place: words, and "@configs", "@files", "@folders", "@names" (of anything in the registry), "@experts",
// "@collections", "@inventories" (in it), "@none" (nothing that a shell could know).
struct CompletionWord {
  std::string word, help;
};
using CompletionWords = std::vector<CompletionWord>;

CompletionWords completions_of_argument(const CommandSyntax& command);
// Nothing: it takes no value.
CompletionWords completions_of_value(const OptionSyntax& option);

// A key of the config as an option, "--train.lr", for all commands that take keys.
struct KeyCompletion {
  std::string option, help;
  CompletionWords values;
};
std::vector<KeyCompletion> completions_of_keys();

std::string bash_completion(const CommandSyntax& program);
std::string zsh_completion(const CommandSyntax& program);
std::string fish_completion(const CommandSyntax& program);

}  // namespace gaggle
