#include "base/table.h"

#include <algorithm>
#include <cctype>
#include <cmath>

#include "base/error.h"
#include "base/terminal.h"

namespace gaggle {
namespace {

// Width on the terminal: code points, not bytes.
size_t width_of(const std::string& text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

bool looks_like_number(const std::string& text) {
  const size_t sign = text.starts_with('-') || text.starts_with('+') ? 1 : 0;
  return text == "-" || (text.size() > sign && std::isdigit(static_cast<unsigned char>(text[sign])));
}

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

Table::Table(std::vector<std::string> header) { lines_.push_back(std::move(header)); }

void Table::add(std::vector<std::string> line) {
  GAGGLE_CHECK(line.size() == lines_[0].size(), "a line of {} cells in a table of {}", line.size(), lines_[0].size());
  // A cell stays on its line, whatever stands in it. What is longer than any sentence of ours is somebody's mistake.
  for (std::string& cell : line) cell = shown(cell, 2000);
  lines_.push_back(std::move(line));
}

std::string Table::text() const {
  const size_t columns = lines_[0].size();
  std::vector<size_t> widths(columns, 0);
  std::vector<bool> numeric(columns, lines_.size() > 1);
  for (size_t i = 0; i < lines_.size(); ++i)
    for (size_t j = 0; j < columns; ++j) {
      widths[j] = std::max(widths[j], width_of(lines_[i][j]));
      if (i > 0 && !lines_[i][j].empty() && !looks_like_number(lines_[i][j])) numeric[j] = false;
    }
  std::string text;
  for (const auto& cells : lines_) {
    std::string line;
    for (size_t j = 0; j < columns; ++j) {
      const std::string space(widths[j] - width_of(cells[j]), ' ');
      line += numeric[j] ? space + cells[j] : cells[j] + space;
      if (j + 1 < columns) line += "  ";
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

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

}  // namespace gaggle
