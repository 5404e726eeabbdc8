// What every job has before it works: who it is, whom it talks to, its device and threads, its run folder.
#pragma once

#include <ATen/ATen.h>

#include <filesystem>
#include <memory>
#include <optional>

#include "cluster/identity.h"
#include "comm/communicator.h"
#include "config/config.h"

namespace gaggle {

struct Session {
  Identity identity;
  std::unique_ptr<Communicator> world;
  at::Device device = at::kCPU;
  int threads = 1;  // per rank, set in Torch
  int64_t free_memory =
      -1;  // bytes of the device that were free at the start, by the ranks that share it; -1: not known
  std::filesystem::path run_dir = {};  // <run.dir>/<run.name>[-variant]; made by make_run_folder
};

// Work and looks (a dry run, an answer to a prompt) refuse ranks that are not alike, the doctor wants to tell of them. One
// process in the shell of a Slurm job of several tasks will do for looks and the doctor, not for work.
enum class Purpose { work, look, doctor };
// Sets threads and determinism once, joins MPI where the launcher is one, and NCCL where tensors can travel
// from GPU to GPU. Writes nothing.
Session start_session(const Config& config, Purpose purpose = Purpose::work);
// From here on signals, the STOP file and run.max_minutes are heeded; says so where one of them stands already.
std::optional<Exit> stopped_before_start(const Session& session, const Config& config);
// With the resolved config in it (config.toml). To be called when everything was checked. Collective.
void make_run_folder(const Session& session, const Config& config);
// Says goodbye to the other ranks.
void end_session(Session& session);

}  // namespace gaggle
