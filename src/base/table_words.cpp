// Numbers and names as people read them.
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/screen.h"
#include "base/table.h"

namespace gaggle {
namespace {

std::string scaled(double value, const char* unit) {
  static constexpr const char* prefixes[] = {"", "k", "M", "G", "T", "P", "E"};
  int power = 0;
  while (std::abs(value) >= 999.5 && power < 6) {
    value /= 1000;
    ++power;
  }
  const int decimals = power == 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return fmt::format("{:.{}f} {}{}", value, decimals, prefixes[power], unit);
}

}  // namespace

std::string with_commas(int64_t number) {
  std::string digits = std::to_string(std::abs(number));
  for (int at = static_cast<int>(digits.size()) - 3; at > 0; at -= 3) digits.insert(static_cast<size_t>(at), ",");
  return (number < 0 ? "-" : "") + digits;
}

std::string plural(int64_t number, std::string_view thing) {
  return fmt::format("{} {}{}", with_commas(number), thing, number == 1 ? "" : "s");
}

std::string bytes_text(uint64_t bytes) { return scaled(static_cast<double>(bytes), "B"); }

std::string count_text(double count) {
  std::string text = scaled(count, "");
  text.erase(text.find_last_not_of(' ') + 1);
  return text;
}

std::string time_text(double seconds) {
  const auto s = static_cast<int64_t>(std::llround(std::max(0.0, seconds)));
  if (s >= 86400) return fmt::format("{} d {} h", s / 86400, s % 86400 / 3600);
  if (s >= 3600) return fmt::format("{}:{:02}:{:02}", s / 3600, s % 3600 / 60, s % 60);
  return fmt::format("{}:{:02}", s / 60, s % 60);
}

std::string ranges_text(const std::vector<int>& numbers, size_t shortest, std::string_view separator) {
  std::vector<std::string> parts;
  for (size_t i = 0; i < numbers.size();) {
    size_t end = i + 1;
    while (end < numbers.size() && numbers[end] == numbers[end - 1] + 1) ++end;
    if (end - i >= shortest) {
      parts.push_back(fmt::format("{}-{}", numbers[i], numbers[end - 1]));
      i = end;
    }
    for (; i < end; ++i) parts.push_back(std::to_string(numbers[i]));
  }
  return fmt::format("{}", fmt::join(parts, separator));
}

std::string cut_in_the_middle(const std::string& text, size_t columns) {
  const size_t all = columns_of(text);
  if (all <= columns) return text;
  const size_t kept = columns > 0 ? columns - 1 : 0, front = (kept + 1) / 2;
  const size_t skipped = cut_to(text, all - (kept - front)).size();
  return cut_to(text, front) + "…" + text.substr(skipped);
}

}  // namespace gaggle
