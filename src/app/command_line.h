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
  JobOptions options;
  std::string prompt;
  DataShowOptions data;
  AlignOptions align;
  StatusOptions status;
  RegistryOptions registry;
  DoctorOptions doctor;
};

// `words`: the arguments after the program's name. Throws UserError with the nearest option or command.
CommandLine parse_command_line(const std::vector<std::string>& words);

}  // namespace gaggle
