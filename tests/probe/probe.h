// probe: a test program that shows what single rooms compute, for comparison with Python references.
// Each room's file registers its subcommands: `static Register r("tokenize", run_tokenize);`.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace gaggle::probe {

using Run = std::function<int(const std::vector<std::string>& arguments)>;
std::map<std::string, Run>& commands();

// The exit code of a command and its arguments; what it throws is said on stderr and is a 2.
int run_command(const std::vector<std::string>& words);

struct Register {
  Register(const std::string& name, Run run) { commands()[name] = std::move(run); }
};

}  // namespace gaggle::probe
