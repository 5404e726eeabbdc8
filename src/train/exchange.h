// What the ranks of a group say to each other in a step: first how each rank fares, so that all go on or leave
// together; then pieces of lane sums to each tensor's owner, norms, new values. Tensors travel from GPU to GPU
// where the group has a device(), else through the host's memory; the sums are the same bits.
#pragma once

#include <ATen/ATen.h>

#include <span>
#include <vector>

#include "adapter/parameters.h"
#include "comm/communicator.h"
#include "train/lanes.h"

namespace gaggle {

// What each rank says in every step before data moves; the worst of them counts. save: a checkpoint is written
// after this step; resumable, stopped: all leave after this step with that exit code; short_of_memory: the step is
// made again in smaller pieces.
enum class StepStatus : int32_t { ok = 0, save = 1, resumable = 2, stopped = 3, short_of_memory = 4, failed = 5 };
// The worst of the group. Collective. Throws SystemError if another rank failed.
StepStatus worst_status(Communicator& group, StepStatus mine);

// Which rank holds the optimiser state of which tensors.
struct Owners {
  std::vector<int> of_tensor;                  // by place in the layout
  std::vector<std::vector<FlatRange>> ranges;  // by rank: its tensors, neighbours joined
  std::vector<int64_t> counts;                 // by rank: values owned
};

// Tensors in name order, each to the rank with the fewest values so far (ties: the lower rank).
Owners assign_owners(const ParameterLayout& layout, int ranks);
// Gives the next tensor to a rank. Ranges and counts have a place for each rank.
void give(Owners& owners, const ParameterInfo& tensor, int rank);
// The same for tensors whose owners are given.
Owners owners_of(const ParameterLayout& layout, const std::vector<int>& of_tensor, int ranks);

// The ranges of a flat tensor one after the other; the tensor itself, uncopied, where they are all of it.
at::Tensor gather_ranges(const at::Tensor& flat, std::span<const FlatRange> ranges);
void scatter_ranges(const at::Tensor& compact, std::span<const FlatRange> ranges, at::Tensor flat);

// `all` [n, …], dense on the CPU, of which rank of_row[i] has row i: after it every rank has all. Collective.
void gather_rows(at::Tensor& all, const std::vector<int>& of_row, Communicator& group);

class Exchange {
 public:
  // Collective: connects the group's GPUs. `device`: of the values.
  Exchange(Communicator& group, const ParameterLayout& layout, int64_t lanes, at::Device device);
  const Owners& owners() const { return owners_; }
  std::span<const FlatRange> mine() const { return owners_.ranges[static_cast<size_t>(group_.rank())]; }
  std::vector<ParameterInfo> my_tensors() const;

  // Sends pieces to the owners, of a layout that need not be this one; returns the sum over all lanes of what this rank
  // owns of it, compact, on the pieces' device.
  at::Tensor sum_to_owners(const std::vector<Piece>& pieces, const Owners& owners);
  // The same in three steps, of more than one rank; send is what is collective.
  struct Parcels {
    std::vector<at::Tensor> out, in;  // by rank: what each piece holds of the owner's values, piece by piece
    at::Device device = at::kCPU;     // of the pieces
  };
  Parcels pack(const std::vector<Piece>& pieces, const Owners& owners) const;
  void send(Parcels& parcels) const;
  at::Tensor sum(const Parcels& parcels) const;  // changes what came
  // The gradient's squared norm, and `width` sums over lanes: my_lane_values has those of this rank's lanes,
  // lane by lane. From whoever has them, added in tensor order and in tree order.
  struct Totals {
    double squared_norm = 0;
    std::vector<double> sums;  // [width]
  };
  Totals totals(const at::Tensor& owned_gradient, std::span<const double> my_lane_values, int64_t width);
  // New values of what this rank owns are in `flat` already; after it, everybody's are.
  void spread(at::Tensor& flat);
  // What the owners hold of some layout, as one flat tensor on every rank; on the device or in the host's
  // memory, as it came.
  at::Tensor whole(const at::Tensor& owned, const Owners& owners, int64_t size);

 private:
  // Where tensors travel: the communicator over that memory, and the memory.
  Communicator& path() const { return device_ ? *device_ : group_; }
  std::vector<TreeNode> nodes_of(int rank) const;
  at::Device memory(const at::Tensor& like) const { return device_ ? like.device() : at::kCPU; }

  Communicator& group_;
  Communicator* device_;  // null: through the host's memory
  const ParameterLayout& layout_;
  int64_t lanes_;
  Owners owners_;
  std::vector<int64_t> my_starts_;  // where my tensors begin among what I own, and the end
  at::Tensor my_starts_there_;      // the same on the device
};

// Sums `width` numbers per lane in tree order, on every rank.
std::vector<double> sum_lanes(Communicator& group, int64_t lanes, std::span<const double> my_lane_values,
                              int64_t width);

}  // namespace gaggle
