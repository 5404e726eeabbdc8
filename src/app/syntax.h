// The command line as plain data, read off the parsers: help, completion and the man page are made of it.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace gaggle {

struct OptionSyntax {
  std::string name;                  // "--to"; of an argument "NAME", or how it is written: "[CONFIG|REGISTRY] NAME…"
  std::string value;                 // what stands behind an option: "FOLDER"; "": nothing
  std::vector<std::string> choices;  // of the value, if only some are taken
  std::string help;                  // with the default
  bool required = false;
};

struct CommandSyntax {
  std::vector<std::string> words;  // what is typed after "gaggle": "registry", "import"; none: the program itself
  std::string help, examples;
  std::vector<OptionSyntax> arguments, options;
  std::vector<CommandSyntax> actions;  // commands of the program, actions of a command

  std::string typed() const;  // "gaggle registry import"
  bool takes_keys() const;    // works by a config, so that --section.key=VALUE has a meaning
};

CommandSyntax syntax_of(const CLI::App& command);
// Every command and action of `root` that can be typed, itself first.
std::vector<const CommandSyntax*> all_of(const CommandSyntax& root);

// "gaggle registry import", and where its help is: "gaggle registry import --help".
std::string typed(const CLI::App& command);
std::string help_hint(const CLI::App& command);

}  // namespace gaggle
