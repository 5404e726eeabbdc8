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
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }
  return names;
}

std::string list_of(const std::vector<std::string>& names) {
  constexpr size_t shown = 4;
  const auto end = names.begin() + static_cast<std::ptrdiff_t>(std::min(shown, names.size()));
  const size_t more = names.size() - std::min(shown, names.size());
  return join({names.begin(), end}, ", ") + (more > 0 ? fmt::format(" and {} more", more) : "");
}

}  // namespace

std::string disagreement(const std::vector<std::string>& hosts, const std::vector<std::string>& values) {
  std::map<std::string, size_t> votes;
  for (const auto& value : values) ++votes[value];
  if (votes.size() < 2) return "";
  size_t most = 0, with_most = 0;
  std::string winner;
  for (const auto& [value, count] : votes) {
    if (count > most) with_most = 0, winner = value;
    most = std::max(most, count);
    with_most += count == most;
  }
  std::string text;
  for (const auto& [value, count] : votes) {
    if (with_most == 1 && value == winner) continue;
    const auto names = holders(hosts, values, value);
    text += fmt::format("{}{} {} {}", text.empty() ? "" : "; ", list_of(names),
                        names.size() == 1 ? "has" : "have", value);
  }
  return with_most == 1 ? text + ", the others " + winner : text;
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
