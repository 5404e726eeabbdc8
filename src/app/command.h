// A command of the program as the command line knows it: its name, its options, what it runs.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <vector>

#include "base/page.h"
#include "config/config.h"
#include "job/job.h"

namespace gaggle {

// Runs a command whose options have been read. `overrides`: keys of the config that were given, "section.key=value".
using RunCommand = std::function<Exit(const std::vector<std::string>& overrides)>;

// Declares the options on the command's own parser; what they are read into lives as long as what is returned.
using DeclareOptions = std::function<RunCommand(CLI::App& parser)>;

struct Command {
  std::string name, help;
  DeclareOptions declare;
  std::string examples = {};  // one a line
};

// For a command whose work is a text: prints it.
Exit print(const std::string& text);
Exit print(const Page& page);  // as --format has it

// For a command that ends in tables: --format.
void add_format(CLI::App& parser);

// For a command that takes a config: CONFIG and --print-config.
RunCommand with_config(CLI::App& parser, std::function<Exit(const Config&)> run);
// The same for a job, with the options that all jobs share.
DeclareOptions with_job_options(std::function<Exit(const Config&, const JobOptions&)> run);
// For a command that takes no config: overrides are a mistake.
RunCommand without_config(CLI::App& parser, std::function<Exit()> run);
// Throws UserError: keys of the config were given where none is read.
void refuse_keys(const CLI::App& parser, const std::vector<std::string>& overrides);
// For a command that is a family of them, each with its own options: `gaggle registry ls`. So is the program.
DeclareOptions with_actions(std::vector<Command> actions);

// Every command, one word each: NAME stands for NAME_command() in app/command_NAME.cpp.
#define GAGGLE_COMMANDS(NAME) \
  NAME(init)                  \
  NAME(experts)               \
  NAME(pretrain)              \
  NAME(gates)                 \
  NAME(adapt)                 \
  NAME(prepare)               \
  NAME(eval)                  \
  NAME(analyse)               \
  NAME(compare)               \
  NAME(generate)              \
  NAME(data)                  \
  NAME(align)                 \
  NAME(cluster)               \
  NAME(registry)              \
  NAME(doctor)                \
  NAME(bench)                 \
  NAME(status)                \
  NAME(report)                \
  NAME(help)                  \
  NAME(completion)

#define GAGGLE_DECLARE(NAME) Command NAME##_command();
GAGGLE_COMMANDS(GAGGLE_DECLARE)
#undef GAGGLE_DECLARE

}  // namespace gaggle
