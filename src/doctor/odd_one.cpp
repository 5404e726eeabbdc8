#include "doctor/odd_one.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/names.h"

namespace gaggle {
namespace {

// Who holds `value`: whole hosts by their names, single ranks of a host that has others too by their numbers.
std::vector<std::string> holders(const std::vector<std::string>& hosts, const std::vector<std::string>& values,
                                 const std::string& value) {
  std::set<std::string> divided;
  for (size_t rank = 0; rank < hosts.size(); ++rank)
    if (values[rank] != value) divided.insert(hosts[rank]);
  std::vector<std::string> names;
  for (size_t rank = 0; rank < hosts.size(); ++rank) {
    if (values[rank] != value) continue;
    const std::string name =
        divided.contains(hosts[rank]) ? fmt::format("rank {} on {}", rank, hosts[rank]) : hosts[rank];
    if (std::ranges::find(names, name) == names.end()) names.push_back(name);
  }
  return names;
}

std::string list_of(const std::vector<std::string>& names) {
  constexpr size_t shown = 4;
  if (names.size() <= shown) return join(names, ", ");
  return join({names.begin(), names.begin() + shown}, ", ") + fmt::format(" and {} more", names.size() - shown);
}

}  // namespace

std::string disagreement(const std::vector<std::string>& hosts, const std::vector<std::string>& values) {
  std::map<std::string, size_t> votes;
  for (const auto& value : values) ++votes[value];
  if (votes.size() < 2) return "";
  const auto count_of = [](const auto& vote) { return vote.second; };
  const auto winner = std::ranges::max_element(votes, {}, count_of);
  const bool majority = std::ranges::count(votes, winner->second, count_of) == 1;
  std::vector<std::string> odd;
  for (const auto& [value, count] : votes) {
    if (majority && value == winner->first) continue;
    const auto names = holders(hosts, values, value);
    odd.push_back(fmt::format("{} {} {}", list_of(names), names.size() == 1 ? "has" : "have", value));
  }
  return join(odd, "; ") + (majority ? ", the others " + winner->first : "");
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

std::vector<size_t> far_below(const std::vector<double>& values, double share) {
  const double limit = share * median(values);
  std::vector<size_t> low;
  for (size_t i = 0; i < values.size(); ++i)
    if (values[i] < limit) low.push_back(i);
  return low;
}

}  // namespace gaggle
