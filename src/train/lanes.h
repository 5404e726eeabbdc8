// Lanes are virtual ranks: leaves of one fixed binary tree that pairs neighbours bottom-up (an odd one is
// carried). A rank owns neighbouring lanes and sums the complete subtrees inside its run; whoever adds, the
// bits are the same.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "adapter/parameters.h"

namespace gaggle {

struct LaneRange {
  int64_t begin = 0, end = 0;
};

// Node `index` of `level` sums the lanes [index·2^level, (index+1)·2^level) that there are.
struct TreeNode {
  int level = 0;
  int64_t index = 0;
  auto operator<=>(const TreeNode&) const = default;
};

// Lanes of rank `rank` of `size`: [⌊rank·lanes/size⌋, ⌊(rank+1)·lanes/size⌋).
LaneRange lanes_of_rank(int rank, int size, int64_t lanes);
LaneRange lanes_of_node(TreeNode node, int64_t lanes);
// The highest nodes whose lanes all lie in `range`, in lane order: what a rank sends.
std::vector<TreeNode> complete_subtrees(LaneRange range, int64_t lanes);

// The default of train.lanes: 1 for one rank, else the smallest power of two ≥ max(8, ranks).
int64_t default_lanes(int64_t ranks);

// A sum that waits for its sibling.
struct Piece {
  TreeNode node;
  at::Tensor sum;
};

// Sums of a rank's lanes, taken one after the other, with at most log2(lanes) + 1 buffers alive.
class LaneSums {
 public:
  LaneSums(LaneRange range, int64_t lanes, int64_t size, at::Device device);
  // The zeroed buffer [size] of the next lane.
  at::Tensor begin_lane();
  // The lane's buffer is complete: it is added to what its tree pairs it with.
  void end_lane();
  // After the last lane: one sum per complete subtree, in lane order. Valid until the next begin().
  const std::vector<Piece>& pieces() const { return stack_; }
  // In place of the last lane's end_lane, part after part: its buffer is complete in these ranges. The pieces, of which
  // the ranges alone are right. Each range once.
  std::vector<Piece> pieces_of(std::span<const FlatRange> ranges);
  // Pieces that say nothing, for a rank that failed on its way.
  std::vector<Piece> stand_ins() const;
  void begin();  // a new step

 private:
  // Adds the last of the stack to what its tree pairs it with, in these ranges; what is no longer needed goes to `freed`.
  void fold(std::vector<Piece>& stack, std::span<const FlatRange> ranges, std::vector<at::Tensor>& freed) const;

  LaneRange range_;
  int64_t lanes_, size_, next_ = 0;
  at::Device device_;
  std::vector<Piece> stack_;
  std::vector<at::Tensor> free_;
};

// The sum over all lanes from the pieces of all ranks, which cover the lanes; changes the pieces.
at::Tensor finish_tree(const std::map<TreeNode, at::Tensor>& pieces, int64_t lanes);
double finish_tree(std::span<const double> by_lane);

}  // namespace gaggle
