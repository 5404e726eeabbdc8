#include "base/names.h"

#include <algorithm>
#include <cctype>
#include <numeric>

#include "base/error.h"
#include "base/terminal.h"

namespace gaggle {
namespace {

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

}  // namespace

std::string nearest_name(std::string_view typed, const std::vector<std::string>& candidates) {
  if (typed.size() > 500) return "";  // no name of ours, and the distance would take for ever
  std::string best;
  size_t best_distance = std::max<size_t>(2, typed.size() / 3) + 1;
  for (const auto& candidate : candidates) {
    const size_t distance = edit_distance(typed, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

std::string did_you_mean(std::string_view typed, const std::vector<std::string>& candidates) {
  const std::string near = nearest_name(typed, candidates);
  return near.empty() ? "" : fmt::format(" (did you mean {}?)", near);
}

std::string known_names(std::string_view typed, const std::vector<std::string>& candidates) {
  const std::string near = nearest_name(typed, candidates);
  return near.empty() ? "known: " + join(candidates, ", ") : "did you mean " + near + "?";
}

void check_name(std::string_view name, std::string_view what) {
  const bool good = !name.empty() && name.size() <= 128 && name[0] != '.' &&
                    std::all_of(name.begin(), name.end(), [](unsigned char c) {
                      return std::isalnum(c) || c == '.' || c == '_' || c == '-' || c == '+';
                    });
  if (!good)
    user_error(
        "{} {}: a name has letters, digits, '.', '_', '-', '+' only, does not start with a dot and is at "
        "most 128 long",
        what, in_quotes(name));
}

std::string join(const std::vector<std::string>& parts, std::string_view separator) {
  return fmt::format("{}", fmt::join(parts, separator));
}

}  // namespace gaggle
