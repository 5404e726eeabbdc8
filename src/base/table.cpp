#include "base/table.h"

#include <algorithm>
#include <cctype>
#include <optional>

#include "base/error.h"
#include "base/screen.h"
#include "base/terminal.h"

namespace gaggle {
namespace {

TableFormat the_format = TableFormat::text;

using Cells = std::vector<std::string>;

constexpr size_t columns_of_a_file = 120;
constexpr size_t gap = 2;                  // between columns
constexpr size_t shortest_cut = 16;        // names are not cut to less while the table can be laid out in parts
constexpr size_t shortest_first_cut = 24;  // those that say which line it is, in a line of 60 columns or more

bool looks_like_number(const std::string& text) {
  const size_t sign = text.starts_with('-') || text.starts_with('+') ? 1 : 0;
  return text == "-" || (text.size() > sign && std::isdigit(static_cast<unsigned char>(text[sign])));
}

Cells lines_in(const std::string& text) {
  Cells lines;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

// The lines that a text takes in a column: broken at spaces, longer words cut in the middle.
Cells broken(const std::string& text, size_t columns) {
  Cells lines = lines_in(wrapped(text, columns));
  for (std::string& line : lines) line = cut_in_the_middle(line, columns);
  return lines;
}

size_t longest_word(const std::string& text) {
  size_t longest = 0;
  for (const std::string& word : lines_in(wrapped(text, 1))) longest = std::max(longest, columns_of(word));
  return longest;
}

struct Column {
  bool numeric = false;
  size_t natural = 0;   // the widest of its cells and its head
  size_t cells = 0;     // the widest of its cells
  size_t head = 0;      // the longest word of its head
  size_t shortest = 0;  // that its names are cut to
  size_t width = 0;     // as it is laid out
};

std::vector<Column> columns_in(const std::vector<Cells>& lines, size_t most) {
  std::vector<Column> columns(lines[0].size());
  for (size_t j = 0; j < columns.size(); ++j) {
    Column& column = columns[j];
    column.numeric = lines.size() > 1;
    column.head = longest_word(lines[0][j]);
    column.shortest = j == 0 ? std::clamp(2 * most / 5, shortest_cut, shortest_first_cut) : shortest_cut;
    for (size_t i = 1; i < lines.size(); ++i) {
      column.cells = std::max(column.cells, columns_of(lines[i][j]));
      if (!lines[i][j].empty() && !looks_like_number(lines[i][j])) column.numeric = false;
    }
    column.width = column.natural = std::max(column.cells, columns_of(lines[0][j]));
  }
  return columns;
}

size_t width_of(const std::vector<Column>& columns) {
  size_t all = gap * (columns.size() - 1);
  for (const Column& column : columns) all += column.width;
  return all;
}

// As narrow as a column may become: numbers stay whole.
size_t least_width(const Column& column) {
  const size_t head = std::min(column.head, shortest_cut);
  return std::max(column.numeric ? column.cells : std::min(column.cells, column.shortest), head);
}

// Heads are broken first, then the widest of the columns of words give way.
void narrow(std::vector<Column>& columns, size_t most) {
  if (width_of(columns) > most)
    for (Column& column : columns) column.width = std::max(column.cells, std::min(column.head, shortest_cut));
  while (width_of(columns) > most) {
    Column* widest = nullptr;
    for (Column& column : columns)
      if (column.width > least_width(column) && (!widest || column.width > widest->width)) widest = &column;
    if (!widest) return;
    const size_t over = width_of(columns) - most;
    widest->width =
        std::max(least_width(*widest), widest->width - std::min(over, std::max<size_t>(1, widest->width / 8)));
  }
}

// A line of the table, which takes as many lines of text as its highest cell; heads end on the same line.
std::string line_text(const Cells& line, const std::vector<Column>& columns, const std::vector<size_t>& shown,
                      bool header) {
  std::vector<Cells> cells;
  size_t height = 1;
  for (const size_t j : shown) height = std::max(height, cells.emplace_back(broken(line[j], columns[j].width)).size());
  std::string text;
  for (size_t row = 0; row < height; ++row) {
    std::string out;
    for (size_t i = 0; i < shown.size(); ++i) {
      const Column& column = columns[shown[i]];
      const size_t above = header ? height - cells[i].size() : 0;
      const std::string cell = row >= above && row - above < cells[i].size() ? cells[i][row - above] : "";
      const std::string space(column.width - std::min(column.width, columns_of(cell)), ' ');
      out += (out.empty() && i == 0 ? "" : std::string(gap, ' ')) + (column.numeric ? space + cell : cell + space);
    }
    out.erase(out.find_last_not_of(' ') + 1);
    text += out + "\n";
  }
  return text;
}

// The columns that stand beside each other: all, or as many behind the first as there is room for.
std::vector<std::vector<size_t>> parts_of(const std::vector<Column>& columns, size_t most) {
  std::vector<std::vector<size_t>> parts;
  size_t used = 0;
  for (size_t j = columns.size() > 1 ? 1 : 0; j < columns.size(); ++j) {
    if (parts.empty() || used + gap + columns[j].width > most) {
      parts.push_back(j == 0 ? std::vector<size_t>{} : std::vector<size_t>{0});
      used = columns[0].width;
    }
    parts.back().push_back(j);
    used += gap + columns[j].width;
  }
  return parts;
}

// What the widest of several parts leaves of a line: the first column stands in all of them.
size_t room_left(const std::vector<Column>& columns, const std::vector<std::vector<size_t>>& parts, size_t most) {
  size_t widest = 0;
  for (const std::vector<size_t>& part : parts) {
    size_t used = gap * (part.size() - 1);
    for (const size_t j : part) used += columns[j].width;
    widest = std::max(widest, used);
  }
  return most - std::min(most, widest);
}

}  // namespace

void set_table_format(TableFormat format) { the_format = format; }
TableFormat table_format() { return the_format; }

Table::Table(std::vector<std::string> header) { lines_.emplace_back(header.begin(), header.end()); }

void Table::add(std::vector<Cell> line) {
  GAGGLE_CHECK(line.size() == lines_[0].size(), "a line of {} cells in a table of {}", line.size(), lines_[0].size());
  // A cell stays on its line, whatever stands in it. What is longer than any sentence of ours is somebody's mistake.
  for (Cell& cell : line) cell.text = shown(cell.text, 2000);
  lines_.push_back(std::move(line));
}

std::string Table::text(std::optional<size_t> terminal_columns) const {
  const size_t most = terminal_columns.value_or(columns_of_a_file);
  std::vector<Cells> lines;
  for (const auto& line : lines_) std::ranges::transform(line, std::back_inserter(lines.emplace_back()), &Cell::text);
  std::vector<Column> columns = columns_in(lines, most);
  // Nothing breaks a long line of a file, where words are better found whole.
  Column& last = columns.back();
  const size_t whole = last.width;
  const bool open = !terminal_columns && !last.numeric && columns.size() > 1;
  if (open) last.width = last.cells = last.head = 0;
  narrow(columns, most);
  const std::vector<std::vector<size_t>> parts = parts_of(columns, most);
  if (open) last.width = whole;
  if (parts.size() > 1)
    columns[0].width += std::min(columns[0].natural - columns[0].width, room_left(columns, parts, most));
  std::string text;
  for (const std::vector<size_t>& part : parts) {
    if (!text.empty()) text += "\n";
    for (const Cells& line : lines) text += line_text(line, columns, part, &line == lines.data());
  }
  return text;
}

}  // namespace gaggle
