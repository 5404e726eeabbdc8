// Checkpoints of an item under training: named fp32 tensors in safetensors, independent of the number of ranks.
// Written beside, fsynced, renamed, a marker with the SHA-256 last; the newest that is as it was written wins.
#pragma once

#include <ATen/ATen.h>

#include <filesystem>
#include <functional>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "adapter/parameters.h"
#include "base/side_thread.h"
#include "formats/tensor.h"

namespace gaggle {

struct Snapshot {
  int phase = 0;                              // place among the item's phases
  int64_t step = 0;                           // steps done in it
  nlohmann::json state;                       // numbers: updates, best so far, results of finished phases
  std::map<std::string, at::Tensor> tensors;  // fp32, of any shape; on the CPU, or while it is written where they lie
  std::filesystem::path folder = {};          // that it was read from
};

// The tensors of a layout, which a snapshot holds under PREFIX + name, from and to a flat tensor in the
// layout's order. What is put shares the flat tensor's memory.
void put_tensors(Snapshot& snapshot, const std::string& prefix, const ParameterLayout& layout, const at::Tensor& flat);
at::Tensor take_tensors(const Snapshot& snapshot, const std::string& prefix, const ParameterLayout& layout);

// A dense fp32, fp64 or int64 tensor on the CPU as formats/safetensors.h writes it, which must outlive the view;
// and what was read as fp32.
TensorView tensor_view(const std::string& name, const at::Tensor& tensor);
at::Tensor float_tensor(const TensorView& view);

// The newest complete snapshot in the folders (an item's attempts), by phase and step. One of another key, or
// one that cannot be read although it is marked complete, is passed over with a warning; one of a later step
// than `last_step`, without.
std::optional<Snapshot> newest_snapshot(const std::vector<std::filesystem::path>& folders, const std::string& key,
                                        int64_t last_step = std::numeric_limits<int64_t>::max());

// Writes snapshots in a thread, one at a time; errors come out of the next call. Where memory ended for it, since the pass
// beside it had all, it is written by that call.
class SnapshotWriter {
 public:
  // keep: how many stay in the folder.
  SnapshotWriter(std::filesystem::path folder, std::string key, int64_t keep);
  void write(Snapshot snapshot);  // its tensors must not change any more
  void wait();

 private:
  std::filesystem::path folder_;
  std::string key_;
  int64_t keep_;
  std::function<void()> save_;          // the latest, until it is written
  std::shared_future<void> written_;    // not valid: nothing is
  std::unique_ptr<SideThread> beside_;  // null: none was wanted yet, or there is no room for one
};

}  // namespace gaggle
