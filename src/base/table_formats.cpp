// Tables for programs.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <regex>

#include "base/json.h"
#include "base/names.h"
#include "base/table.h"

namespace gaggle {
namespace {

using Line = std::vector<std::string>;

constexpr std::string_view shared_unit = " %";

bool is_number(const std::string& text) {
  static const std::regex number(R"([+-]?(0|[1-9]\d*|[1-9]\d{0,2}(,\d{3})+)(\.\d+)?(e[+-]?\d+)?)");
  return std::regex_match(text, number);
}

// What a cell says to a program: "" for "-", numbers as JSON has them, else the cell.
std::string value_of(const std::string& cell) {
  if (cell == "-") return "";
  if (!is_number(cell)) return cell;
  std::string plain = cell;
  std::erase(plain, ',');
  if (plain.starts_with('+')) plain.erase(0, 1);
  return plain;
}

// The lines with values for cells; where all of a column are per cent, its head says so.
std::vector<Line> values_of(std::vector<Line> lines) {
  for (size_t j = 0; j < lines[0].size(); ++j) {
    const auto has_unit = [j](const Line& line) {
      return line[j].ends_with(shared_unit) && is_number(line[j].substr(0, line[j].size() - shared_unit.size()));
    };
    const auto of_unit = [&](const Line& line) { return line[j].empty() || line[j] == "-" || has_unit(line); };
    const bool all =
        std::all_of(lines.begin() + 1, lines.end(), of_unit) && std::any_of(lines.begin() + 1, lines.end(), has_unit);
    if (all) lines[0][j] += shared_unit;
    for (size_t i = 1; i < lines.size(); ++i) {
      if (all && lines[i][j].ends_with(shared_unit)) lines[i][j].resize(lines[i][j].size() - shared_unit.size());
      lines[i][j] = value_of(lines[i][j]);
    }
  }
  return lines;
}

std::string csv_cell(const std::string& text) {
  if (text.find_first_of(",\"\n") == std::string::npos) return text;
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? "\"\"" : std::string(1, c);
  return out + "\"";
}

std::string markdown_cell(const std::string& text) {
  std::string out;
  for (const char c : text) out += c == '|' ? "\\|" : std::string(1, c);
  return out;
}

}  // namespace

std::string Table::csv() const {
  std::string text;
  for (const auto& line : values_of(lines_)) {
    std::vector<std::string> cells;
    for (const std::string& cell : line) cells.push_back(csv_cell(cell));
    text += join(cells, ",") + "\n";
  }
  return text;
}

std::string Table::markdown() const {
  std::string text;
  for (const auto& line : lines_) {
    std::string out = "|";
    for (const std::string& cell : line) out += " " + markdown_cell(cell) + " |";
    text += out + "\n";
    if (&line == lines_.data()) {
      text += "|";
      for (size_t j = 0; j < line.size(); ++j) text += "---|";
      text += "\n";
    }
  }
  return text;
}

nlohmann::ordered_json Table::json() const {
  using Json = nlohmann::ordered_json;
  const auto lines = values_of(lines_);
  Json rows = Json::array();
  for (size_t i = 1; i < lines.size(); ++i) {
    Json row = Json::object();
    for (size_t j = 0; j < lines[i].size(); ++j) {
      const std::string &value = lines[i][j], &head = lines[0][j];
      row[row.contains(head) ? head + " 2" : head] = value.empty()      ? Json(nullptr)
                                                     : is_number(value) ? parse_json<Json>(value)
                                                                        : Json(value);
    }
    rows.push_back(std::move(row));
  }
  return {{"table", lines_[0][0]}, {"rows", std::move(rows)}};
}

}  // namespace gaggle
