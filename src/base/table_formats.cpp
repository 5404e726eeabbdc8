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

// Where all of a column's texts are per cent, that is its unit.
void split_shared_unit(std::vector<std::vector<Cell>>& lines, size_t column) {
  const auto has_unit = [](const std::string& text) {
    return text.ends_with(shared_unit) && is_number(text.substr(0, text.size() - shared_unit.size()));
  };
  const auto of_unit = [&](const auto& line) {
    const std::string& text = line[column].text;
    return text.empty() || text == "-" || has_unit(text);
  };
  if (!std::all_of(lines.begin() + 1, lines.end(), of_unit)) return;
  for (size_t i = 1; i < lines.size(); ++i) {
    Cell& cell = lines[i][column];
    if (has_unit(cell.text)) cell.text.resize(cell.text.size() - shared_unit.size()), cell.unit = shared_unit.substr(1);
  }
}

// The lines with values for cells, and units behind their heads.
std::vector<Line> values_of(std::vector<std::vector<Cell>> cells) {
  std::vector<Line> lines(cells.size(), Line(cells[0].size()));
  for (size_t j = 0; j < cells[0].size(); ++j) {
    split_shared_unit(cells, j);
    std::string& head = lines[0][j] = cells[0][j].text;
    for (size_t i = 1; i < cells.size(); ++i) {
      const Cell& cell = cells[i][j];
      lines[i][j] = cell.value.empty() ? value_of(cell.text) : cell.value;
      if (!cell.unit.empty() && head == cells[0][j].text) head += " " + cell.unit;
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

Cell bytes_cell(uint64_t bytes) { return {bytes_text(bytes), std::to_string(bytes), "bytes"}; }
Cell time_cell(double seconds) { return {time_text(seconds), fmt::format("{:.3f}", seconds), "s"}; }
Cell flag_cell(bool flag) { return flag ? Cell("yes", "true") : Cell("no", "false"); }

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
    for (const Cell& cell : line) out += " " + markdown_cell(cell.text) + " |";
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
      row[row.contains(head) ? head + " 2" : head] = value.empty() ? Json(nullptr)
                                                     : is_number(value) || !lines_[i][j].value.empty()
                                                         ? parse_json<Json>(value)
                                                         : Json(value);
    }
    rows.push_back(std::move(row));
  }
  return {{"table", lines_[0][0].text}, {"rows", std::move(rows)}};
}

}  // namespace gaggle
