#include "train/lanes.h"

#include <algorithm>

#include "base/error.h"

namespace gaggle {
namespace {

int root_level(int64_t lanes) {
  int level = 0;
  while ((int64_t{1} << level) < lanes) ++level;
  return level;
}

TreeNode parent_of(TreeNode node) { return {node.level + 1, node.index / 2}; }

bool inside(LaneRange inner, LaneRange outer) { return inner.begin >= outer.begin && inner.end <= outer.end; }

}  // namespace

LaneRange lanes_of_rank(int rank, int size, int64_t lanes) { return {rank * lanes / size, (rank + 1) * lanes / size}; }

LaneRange lanes_of_node(TreeNode node, int64_t lanes) {
  const int64_t width = int64_t{1} << node.level;
  return {std::min(lanes, node.index * width), std::min(lanes, (node.index + 1) * width)};
}

std::vector<TreeNode> complete_subtrees(LaneRange range, int64_t lanes) {
  std::vector<TreeNode> nodes;
  for (int64_t lane = range.begin; lane < range.end;) {
    TreeNode node{0, lane};
    // A carried odd node is its own parent's whole sum, so climbing past it changes nothing but its name.
    while (node.level < root_level(lanes) && lanes_of_node(parent_of(node), lanes).begin == lane &&
           inside(lanes_of_node(parent_of(node), lanes), range))
      node = parent_of(node);
    nodes.push_back(node);
    lane = lanes_of_node(node, lanes).end;
  }
  return nodes;
}

int64_t default_lanes(int64_t ranks) {
  if (ranks <= 1) return 1;
  int64_t lanes = 8;
  while (lanes < ranks) lanes *= 2;
  return lanes;
}

LaneSums::LaneSums(LaneRange range, int64_t lanes, int64_t size, at::Device device)
    : range_(range), lanes_(lanes), size_(size), device_(device) {}

void LaneSums::begin() {
  for (Piece& piece : stack_) free_.push_back(std::move(piece.sum));
  stack_.clear();
  next_ = range_.begin;
}

at::Tensor LaneSums::begin_lane() {
  GAGGLE_CHECK(next_ < range_.end);
  at::Tensor buffer;
  if (free_.empty()) {
    buffer = at::zeros({size_}, at::TensorOptions().dtype(at::kFloat).device(device_));
  } else {
    buffer = std::move(free_.back());
    free_.pop_back();
    buffer.zero_();
  }
  stack_.push_back({{0, next_++}, buffer});
  return buffer;
}

void LaneSums::end_lane() {
  const FlatRange all{0, size_};
  fold(stack_, {&all, 1}, free_);
}

std::vector<Piece> LaneSums::pieces_of(std::span<const FlatRange> ranges) {
  GAGGLE_CHECK(next_ == range_.end);
  std::vector<Piece> pieces = stack_;
  std::vector<at::Tensor> still_held;
  fold(pieces, ranges, still_held);
  return pieces;
}

std::vector<Piece> LaneSums::stand_ins() const {
  const at::Tensor any =
      stack_.empty() ? at::zeros({size_}, at::TensorOptions().dtype(at::kFloat).device(device_)) : stack_.front().sum;
  std::vector<Piece> pieces;
  for (const TreeNode& node : complete_subtrees(range_, lanes_)) pieces.push_back({node, any});
  return pieces;
}

void LaneSums::fold(std::vector<Piece>& stack, std::span<const FlatRange> ranges,
                    std::vector<at::Tensor>& freed) const {
  while (stack.back().node.level < root_level(lanes_)) {
    Piece& right = stack.back();
    const TreeNode parent = parent_of(right.node);
    const LaneRange all = lanes_of_node(parent, lanes_);
    if (!inside(all, range_) || all.end > next_) return;  // outside our run, or its right half is still to come
    if (right.node.index % 2 == 0) {
      right.node = parent;  // the odd one, carried
      continue;
    }
    Piece& left = stack[stack.size() - 2];
    for (const FlatRange& range : ranges)
      left.sum.narrow(0, range.offset, range.count).add_(right.sum.narrow(0, range.offset, range.count));
    left.node = parent;
    freed.push_back(std::move(right.sum));
    stack.pop_back();
  }
}

namespace {

at::Tensor sum_of(TreeNode node, const std::map<TreeNode, at::Tensor>& pieces, int64_t lanes) {
  if (const auto found = pieces.find(node); found != pieces.end()) return found->second;
  GAGGLE_CHECK(node.level > 0, "no rank sent lane {}", node.index);
  at::Tensor left = sum_of({node.level - 1, node.index * 2}, pieces, lanes);
  const TreeNode right{node.level - 1, node.index * 2 + 1};
  if (lanes_of_node(right, lanes).begin < lanes) left.add_(sum_of(right, pieces, lanes));
  return left;
}

}  // namespace

at::Tensor finish_tree(const std::map<TreeNode, at::Tensor>& pieces, int64_t lanes) {
  return sum_of({root_level(lanes), 0}, pieces, lanes);
}

double finish_tree(std::span<const double> by_lane) {
  std::vector<double> level(by_lane.begin(), by_lane.end());
  while (level.size() > 1) {
    std::vector<double> next;
    for (size_t i = 0; i < level.size(); i += 2)
      next.push_back(i + 1 < level.size() ? level[i] + level[i + 1] : level[i]);
    level = std::move(next);
  }
  return level.empty() ? 0 : level[0];
}

}  // namespace gaggle
