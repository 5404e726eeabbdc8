// The command line as plain data. Read before MPI starts, so that a typing mistake costs nothing.
#pragma once

#include <string>
#include <vector>

#include "app/commands.h"

namespace gaggle {

struct CommandLine {
  std::string command;  // experts | gates | pretrain | eval | generate | data show | registry | status |
                        // doctor; "": print `text` and leave
  std::string text;  // --help, --version
  std::string config;
  std::vector<std::string> overrides;  // "section.key=value"
  bool print_config = false;
  CommandOptions options;
  std::string prompt;
  DataShowOptions data;
  AlignOptions align;
  StatusOptions status;
  RegistryOptions registry;
  DoctorOptions doctor;
};

// `words`: the arguments after the program's name. Throws UserError with the nearest option or command.
CommandLine parse_command_line(const std::vector<std::string>& words);

// "gaggle 0.1 · LibTorch 2.11.0 · Open MPI 5.0.11"
std::string version_text();

}  // namespace gaggle
