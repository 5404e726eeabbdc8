#include "data/sampler.h"

#include <algorithm>
#include <tuple>

#include "base/error.h"
#include "base/philox.h"

namespace gaggle {
namespace {

int64_t rows_fed(const TokenRow& row) {
  return static_cast<int64_t>(row.input.size() + row.target.size()) - 1;
}

struct Member {
  const Sample* sample = nullptr;
  int64_t length = 0;
  float weight = 0;
};

void append(Rows& rows, const Member& member) {
  const TokenRow& row = *member.sample->row;
  const int64_t begin = rows.count();
  rows.ids.insert(rows.ids.end(), row.input.begin(), row.input.end());
  rows.ids.insert(rows.ids.end(), row.target.begin(), row.target.end() - 1);
  for (int64_t i = 0; i < member.length; ++i) rows.positions.push_back(static_cast<int32_t>(i));
  rows.starts.push_back(rows.count());
  if (rows.segments.empty() || rows.segments.back().member != member.sample->task)
    rows.segments.push_back({member.sample->task, begin, begin});
  rows.segments.back().end = rows.count();
  const int64_t first = begin + static_cast<int64_t>(row.input.size()) - 1;
  for (size_t i = 0; i < row.target.size(); ++i) {
    rows.target_rows.push_back(first + static_cast<int64_t>(i));
    rows.target_ids.push_back(row.target[i]);
    rows.target_weights.push_back(member.weight);
  }
}

}  // namespace

RowSampler::RowSampler(uint64_t seed, std::string_view task, int64_t n)
    : seed_(seed), task_(name_number(task)), n_(n) {
  GAGGLE_CHECK(n > 0, "a task without rows has no order");
}

int64_t RowSampler::row(int64_t global_index) {
  const int64_t epoch = global_index / n_;
  if (epoch != epoch_) {
    order_ = random_permutation(random_key("order", {seed_, static_cast<uint64_t>(epoch), task_}), n_);
    epoch_ = epoch;
  }
  return order_[static_cast<size_t>(global_index % n_)];
}

std::span<const Sample> lane_samples(std::span<const Sample> batch, int64_t lane, int64_t lanes) {
  GAGGLE_CHECK(lane >= 0 && lane < lanes, "lane {} of {}", lane, lanes);
  const auto n = static_cast<int64_t>(batch.size());
  const int64_t begin = lane * n / lanes, end = (lane + 1) * n / lanes;
  return batch.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
}

std::vector<Rows> make_microbatches(std::span<const Sample> lane, int64_t token_budget,
                                    const std::vector<float>& weight_by_position_in_lane) {
  GAGGLE_CHECK(weight_by_position_in_lane.size() == lane.size(), "one weight per sample");
  std::vector<Member> members;
  for (size_t i = 0; i < lane.size(); ++i) {
    GAGGLE_CHECK(!lane[i].row->input.empty() && !lane[i].row->target.empty(), "row {}", lane[i].row->id);
    members.push_back({&lane[i], rows_fed(*lane[i].row), weight_by_position_in_lane[i]});
  }
  const auto by_length = [](const Member& a, const Member& b) {
    return std::tuple(a.length, a.sample->global_index, a.sample->task) <
           std::tuple(b.length, b.sample->global_index, b.sample->task);
  };
  const auto by_task = [](const Member& a, const Member& b) {
    return std::tuple(a.sample->task, a.length, a.sample->global_index) <
           std::tuple(b.sample->task, b.length, b.sample->global_index);
  };
  std::sort(members.begin(), members.end(), by_length);
  std::vector<Rows> batches;
  for (size_t begin = 0; begin < members.size();) {
    size_t end = begin;
    for (int64_t taken = 0; end < members.size(); ++end) {
      taken += members[end].length;
      if (end > begin && taken > token_budget) break;
    }
    std::sort(members.begin() + static_cast<std::ptrdiff_t>(begin),
              members.begin() + static_cast<std::ptrdiff_t>(end), by_task);
    Rows& rows = batches.emplace_back();
    rows.starts = {0};
    for (; begin < end; ++begin) append(rows, members[begin]);
  }
  return batches;
}

}  // namespace gaggle
