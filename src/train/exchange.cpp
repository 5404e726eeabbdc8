#include "train/exchange.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "kernel/squared_norms.h"
#include "kernel/upload.h"

namespace gaggle {
namespace {

std::span<const std::byte> bytes_of(const at::Tensor& dense) {
  return {static_cast<const std::byte*>(dense.const_data_ptr()), dense.nbytes()};
}
std::span<std::byte> writable_bytes_of(const at::Tensor& dense) {
  return {static_cast<std::byte*>(dense.mutable_data_ptr()), dense.nbytes()};
}

// This rank's values where its lanes stand among all lanes; 0 elsewhere.
std::vector<double> among_all_lanes(const Communicator& group, int64_t lanes, std::span<const double> mine,
                                    int64_t width) {
  std::vector<double> all(static_cast<size_t>(lanes * width), 0.0);
  std::ranges::copy(mine, all.begin() + lanes_of_rank(group.rank(), group.size(), lanes).begin * width);
  return all;
}

// Sums in tree order of what stands from `offset` on in each rank's message (among_all_lanes).
std::vector<double> lane_sums(const Communicator& group, int64_t lanes, int64_t width, const std::vector<double>& all,
                              size_t offset) {
  const size_t message = all.size() / static_cast<size_t>(group.size());
  std::vector<double> sums, by_lane(static_cast<size_t>(lanes));
  for (int64_t i = 0; i < width; ++i) {
    for (int r = 0; r < group.size(); ++r) {
      const LaneRange lanes_of_r = lanes_of_rank(r, group.size(), lanes);
      for (int64_t lane = lanes_of_r.begin; lane < lanes_of_r.end; ++lane)
        by_lane[static_cast<size_t>(lane)] =
            all[static_cast<size_t>(r) * message + offset + static_cast<size_t>(lane * width + i)];
    }
    sums.push_back(finish_tree(by_lane));
  }
  return sums;
}

}  // namespace

StepStatus worst_status(Communicator& group, StepStatus mine) {
  if (group.size() == 1) return mine;
  std::vector<StepStatus> all(static_cast<size_t>(group.size()));
  group.all_gather(std::as_bytes(std::span(&mine, 1)), std::as_writable_bytes(std::span(all)));
  StepStatus worst = mine;
  for (int r = 0; r < group.size(); ++r) {
    const StepStatus theirs = all[static_cast<size_t>(r)];
    if (theirs == StepStatus::failed && r != group.rank())
      system_error("rank {} of the group failed in this step; its own message says why", r);
    worst = std::max(worst, theirs);
  }
  return worst;
}

Owners assign_owners(const ParameterLayout& layout, int ranks) {
  std::vector<int64_t> counts(static_cast<size_t>(ranks), 0);
  std::vector<int> of_tensor;
  for (const ParameterInfo& tensor : layout.tensors()) {
    const auto lightest = std::min_element(counts.begin(), counts.end());
    of_tensor.push_back(static_cast<int>(lightest - counts.begin()));
    *lightest += tensor.count;
  }
  return owners_of(layout, of_tensor, ranks);
}

void give(Owners& owners, const ParameterInfo& tensor, int rank) {
  owners.of_tensor.push_back(rank);
  owners.counts[static_cast<size_t>(rank)] += tensor.count;
  append_range(owners.ranges[static_cast<size_t>(rank)], {tensor.offset, tensor.count});
}

Owners owners_of(const ParameterLayout& layout, const std::vector<int>& of_tensor, int ranks) {
  Owners owners;
  owners.ranges.resize(static_cast<size_t>(ranks));
  owners.counts.resize(static_cast<size_t>(ranks));
  for (size_t i = 0; i < of_tensor.size(); ++i) give(owners, layout.tensors()[i], of_tensor[i]);
  return owners;
}

at::Tensor gather_ranges(const at::Tensor& flat, std::span<const FlatRange> ranges) {
  if (ranges.size() == 1 && ranges[0].count == flat.numel()) return flat;
  std::vector<at::Tensor> parts;
  for (const FlatRange& range : ranges) parts.push_back(flat.narrow(0, range.offset, range.count));
  return parts.empty() ? at::empty({0}, flat.options()) : at::cat(parts);
}

void scatter_ranges(const at::Tensor& compact, std::span<const FlatRange> ranges, at::Tensor flat) {
  int64_t at = 0;
  for (const FlatRange& range : ranges) {
    flat.narrow(0, range.offset, range.count).copy_(compact.narrow(0, at, range.count));
    at += range.count;
  }
}

void gather_rows(at::Tensor& all, const std::vector<int>& of_row, Communicator& group) {
  GAGGLE_CHECK(all.is_contiguous() && static_cast<size_t>(all.size(0)) == of_row.size());
  if (group.size() == 1 || all.numel() == 0) return;
  const size_t bytes = all[0].nbytes();
  auto* base = static_cast<char*>(all.mutable_data_ptr());
  std::string mine;
  for (size_t row = 0; row < of_row.size(); ++row)
    if (of_row[row] == group.rank()) mine.append(base + row * bytes, bytes);
  const std::vector<std::string> of_ranks = group.all_gather_text(mine);
  std::vector<size_t> taken(of_ranks.size(), 0);
  for (size_t row = 0; row < of_row.size(); ++row) {
    const auto rank = static_cast<size_t>(of_row[row]);
    std::memcpy(base + row * bytes, of_ranks[rank].data() + taken[rank], bytes);
    taken[rank] += bytes;
  }
}

Exchange::Exchange(Communicator& group, const ParameterLayout& layout, int64_t lanes, at::Device device)
    : group_(group),
      device_(group.size() > 1 ? group.device() : nullptr),
      layout_(layout),
      lanes_(lanes),
      owners_(assign_owners(layout, group.size())),
      my_starts_{0} {
  for (const ParameterInfo& tensor : my_tensors()) my_starts_.push_back(my_starts_.back() + tensor.count);
  my_starts_there_ = gaggle::to_device(my_starts_, device);
}

at::Tensor Exchange::sum_to_owners(const std::vector<Piece>& pieces, const Owners& owners) {
  if (group_.size() == 1) {
    std::map<TreeNode, at::Tensor> all;
    for (const Piece& piece : pieces) all[piece.node] = piece.sum;
    return finish_tree(all, lanes_);
  }
  Parcels parcels = pack(pieces, owners);
  send(parcels);
  return sum(parcels);
}

std::vector<TreeNode> Exchange::nodes_of(int rank) const {
  return complete_subtrees(lanes_of_rank(rank, group_.size(), lanes_), lanes_);
}

Exchange::Parcels Exchange::pack(const std::vector<Piece>& pieces, const Owners& owners) const {
  GAGGLE_CHECK(pieces.size() == nodes_of(group_.rank()).size());
  const at::Tensor& like = pieces.front().sum;
  const auto place = at::TensorOptions(memory(like)).dtype(at::kFloat);
  const int64_t owned = owners.counts[static_cast<size_t>(group_.rank())];
  Parcels parcels{{}, {}, like.device()};
  for (int r = 0; r < group_.size(); ++r) {
    std::vector<at::Tensor> parts;
    for (const Piece& piece : pieces) parts.push_back(gather_ranges(piece.sum, owners.ranges[static_cast<size_t>(r)]));
    parcels.out.push_back(at::cat(parts).to(place));
    parcels.in.push_back(at::empty({static_cast<int64_t>(nodes_of(r).size()), owned}, place));
  }
  return parcels;
}

void Exchange::send(Parcels& parcels) const {
  std::vector<std::span<const std::byte>> send;
  std::vector<std::span<std::byte>> receive;
  for (const at::Tensor& out : parcels.out) send.push_back(bytes_of(out));
  for (const at::Tensor& in : parcels.in) receive.push_back(writable_bytes_of(in));
  path().all_to_all(send, receive);
}

at::Tensor Exchange::sum(const Parcels& parcels) const {
  std::map<TreeNode, at::Tensor> all;
  for (int r = 0; r < group_.size(); ++r) {
    int64_t row = 0;
    for (const TreeNode& node : nodes_of(r)) all[node] = parcels.in[static_cast<size_t>(r)][row++];
  }
  return finish_tree(all, lanes_).to(parcels.device);
}

std::vector<ParameterInfo> Exchange::my_tensors() const {
  std::vector<ParameterInfo> mine;
  for (size_t i = 0; i < layout_.tensors().size(); ++i)
    if (owners_.of_tensor[i] == group_.rank()) mine.push_back(layout_.tensors()[i]);
  return mine;
}

Exchange::Totals Exchange::totals(const at::Tensor& owned_gradient, std::span<const double> my_lane_values,
                                  int64_t width) {
  const auto& tensors = layout_.tensors();
  const std::vector<double> lane_values = among_all_lanes(group_, lanes_, my_lane_values, width);
  std::vector<double> mine(tensors.size(), 0.0);  // norms of what is owned here; then the lanes: one message
  const std::vector<double> norms = squared_norms(owned_gradient, my_starts_, my_starts_there_);
  for (size_t i = 0, mine_so_far = 0; i < tensors.size(); ++i)
    if (owners_.of_tensor[i] == group_.rank()) mine[i] = norms[mine_so_far++];
  mine.insert(mine.end(), lane_values.begin(), lane_values.end());
  const std::vector<double> all = gather_values(group_, mine);
  Totals totals;
  for (size_t i = 0; i < tensors.size(); ++i)
    totals.squared_norm += all[static_cast<size_t>(owners_.of_tensor[i]) * mine.size() + i];
  totals.sums = lane_sums(group_, lanes_, width, all, tensors.size());
  return totals;
}

std::vector<double> sum_lanes(Communicator& group, int64_t lanes, std::span<const double> my_lane_values,
                              int64_t width) {
  return lane_sums(group, lanes, width, gather_values(group, among_all_lanes(group, lanes, my_lane_values, width)), 0);
}

at::Tensor Exchange::whole(const at::Tensor& owned, const Owners& owners, int64_t size) {
  if (group_.size() == 1) return owned;
  const auto place = at::TensorOptions(memory(owned)).dtype(at::kFloat);
  const int64_t widest = *std::max_element(owners.counts.begin(), owners.counts.end());
  at::Tensor mine = at::zeros({widest}, place);
  mine.narrow(0, 0, owned.numel()).copy_(owned);
  const at::Tensor all = at::empty({group_.size(), widest}, place);
  path().all_gather(bytes_of(mine), writable_bytes_of(all));
  at::Tensor flat = at::empty({size}, place);
  for (int r = 0; r < group_.size(); ++r) {
    const auto rank = static_cast<size_t>(r);
    scatter_ranges(all[r].narrow(0, 0, owners.counts[rank]), owners.ranges[rank], flat);
  }
  return flat;
}

void Exchange::spread(at::Tensor& flat) {
  if (group_.size() > 1) flat.copy_(whole(gather_ranges(flat, mine()), owners_, layout_.size()));
}

}  // namespace gaggle
