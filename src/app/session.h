// What every job has before it works: who it is, whom it talks to, its device and threads, its run folder.
#pragma once

#include <ATen/ATen.h>

#include <filesystem>
#include <memory>
#include <string>

#include "cluster/identity.h"
#include "comm/communicator.h"
#include "config/config.h"

namespace gaggle {

struct Session {
  Identity identity;
  std::unique_ptr<Communicator> world;
  at::Device device = at::kCPU;
  int threads = 1;                 // per rank, set in Torch
  std::filesystem::path run_dir;   // <run.dir>/<run.name>[-variant]; made by rank 0 unless dry
};

// Sets threads and determinism once, joins MPI where the launcher is one, installs the stop handlers.
Session start_session(const Config& config, bool dry_run);
// Says goodbye to the other ranks.
void end_session(Session& session);

}  // namespace gaggle
