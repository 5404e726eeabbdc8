#include "train/same_values.h"

#include <algorithm>
#include <map>

#include "base/error.h"

namespace gaggle {
namespace {

// The one most ranks say; of equals the lowest rank's.
int64_t most_said(std::span<const int64_t> said) {
  std::map<int64_t, int> count;
  for (const int64_t each : said) ++count[each];
  return *std::ranges::max_element(said, {}, [&](int64_t each) { return count[each]; });
}

}  // namespace

std::vector<int64_t> fingerprints(const ParameterLayout& layout, const at::Tensor& flat) {
  const c10::InferenceMode no_autograd;
  std::vector<at::Tensor> sums;
  at::Tensor odd;
  for (const ParameterInfo& tensor : layout.tensors()) {
    const at::Tensor bits = flat.narrow(0, tensor.offset, tensor.count).view(at::kInt).to(at::kLong);
    if (!odd.defined() || odd.numel() < tensor.count)
      odd = at::arange(1, 2 * tensor.count, 2, at::TensorOptions(flat.device()).dtype(at::kLong));
    // The constant makes zeros count: a tensor cut short differs.
    sums.push_back((bits + 0x9E3779B9).mul_(odd.narrow(0, 0, tensor.count)).sum());
  }
  if (sums.empty()) return {};
  const at::Tensor here = at::stack(sums).cpu();
  return {here.const_data_ptr<int64_t>(), here.const_data_ptr<int64_t>() + here.numel()};
}

void check_same_values(Communicator& group, const ParameterLayout& layout, const at::Tensor& flat,
                       const std::string& phase, int64_t step) {
  if (group.size() == 1) return;
  const std::vector<int64_t> mine = fingerprints(layout, flat);
  uint64_t together = 0;
  for (const int64_t print : mine) together = together * 0x100000001B3 + static_cast<uint64_t>(print);
  const auto digests = gather_values(group, static_cast<int64_t>(together));
  const int64_t right = most_said(digests);
  const auto odd = std::ranges::find_if(digests, [&](int64_t digest) { return digest != right; });
  if (odd == digests.end()) return;
  const auto rank = static_cast<size_t>(odd - digests.begin());
  const auto like_most = static_cast<size_t>(std::ranges::find(digests, right) - digests.begin());
  const auto all = gather_values(group, mine);
  size_t tensor = 0;
  while (tensor + 1 < mine.size() && all[rank * mine.size() + tensor] == all[like_most * mine.size() + tensor])
    ++tensor;
  system_error(
      "{} step {}: the ranks hold different values. Rank {} of the group differs from rank {} first in {}: its "
      "memory, its GPU or the way to it is at fault. No checkpoint is written of this; start again without "
      "that host to go on from the last one (gaggle doctor tests hosts)",
      phase, step, rank, like_most, layout.tensors()[tensor].name);
}

}  // namespace gaggle
