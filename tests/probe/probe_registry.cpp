// probe row-commit REGISTRY NAME PARENT TASK FILE: commits the tensors of FILE (safetensors, fp32) as a row;
// prints its version.
#include <iostream>
#include <nlohmann/json.hpp>

#include "probe/probe.h"
#include "registry/commit.h"
#include "registry/rows.h"

namespace gaggle::probe {
namespace {

int run_row_commit(const std::vector<std::string>& arguments) {
  const auto registry = Registry::open(arguments.at(0), std::nullopt, false);
  const nlohmann::json about = {{"task", arguments.at(3)}};
  std::cout << commit_row(registry, {arguments.at(1), arguments.at(2), tensors_of(arguments.at(4)),
                                     about.dump(), "key of " + arguments.at(1)})
            << "\n";
  return 0;
}

const Register row_commit("row-commit", run_row_commit);

}  // namespace
}  // namespace gaggle::probe
