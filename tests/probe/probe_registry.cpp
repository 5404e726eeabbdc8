// probe row-commit REGISTRY NAME PARENT TASK FILE: commits the tensors of FILE (safetensors, fp32) as a routing
// row; prints its version.
#include <iostream>

#include "probe/probe.h"
#include "registry/new_version.h"
#include "registry/version_files.h"

namespace gaggle::probe {
namespace {

int run_row_commit(const std::vector<std::string>& arguments) {
  auto registry = Registry::open(arguments.at(0), std::nullopt, false);
  const Version parent = registry.load(Kind::inventory, arguments.at(2));
  NewVersion row{Kind::routing_row, arguments.at(1), "key of " + arguments.at(1), {}, {}, {}};
  row.files[routing_row_file] = tensor_file_bytes(read_tensors(arguments.at(4)));
  row.sidecar = {{"task", arguments.at(3)}, {"parent", parent.pin()}, {"parent_sha256", digest_of(parent)}};
  std::cout << registry.commit(row) << "\n";
  return 0;
}

const Register row_commit("row-commit", run_row_commit);

}  // namespace
}  // namespace gaggle::probe
