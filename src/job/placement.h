// Which GPU each rank has, and what its tensors travel over: decided alike on every rank, from what all say.
#pragma once

#include <span>
#include <string>

#include "job/session.h"

namespace gaggle {

struct RankPlace {
  std::string host = {};
  std::string gpu = {};         // its UUID, whatever number it has in that process; "": works on the processor
  int nccl = 0;                 // 22809 for 2.28.9; 0: see complaint
  bool multi_rank_gpu = false;  // NCCL_MULTI_RANK_GPU_ENABLE=1: NCCL 2.30 then takes several ranks on one GPU
  std::string complaint = {};
};

struct DataPath {
  bool nccl = false;    // else through the host's memory
  std::string because;  // why not NCCL, where ranks with GPUs would have wanted it
};

// Throws UserError, with ranks and hosts, where two ranks have one GPU without cluster.share_device, where some
// ranks have a GPU and others none, and where comm.backend = "nccl" cannot be had.
DataPath choose_data_path(const Config& config, std::span<const RankPlace> places);

// Collective over session.world, which gets its device() where tensors travel by NCCL.
void connect_devices(Session& session, const Config& config);

// "NCCL 2.27.7" of 22707.
std::string nccl_text(int version);

}  // namespace gaggle
