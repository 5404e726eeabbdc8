// Tables, and numbers with units, for people; tables in forms that programs read.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/screen.h"

namespace gaggle {

// What commands that end in tables write them as (--format).
enum class TableFormat { text, csv, json, markdown };
void set_table_format(TableFormat format);  // of the process
TableFormat table_format();
inline constexpr const char* table_formats[] = {"text", "csv", "json", "markdown"};  // in the enum's order

// What stands in a line of a table. Where people read it rounded, or in words, programs have the value itself.
struct Cell {
  Cell(std::string words) : text(std::move(words)) {}
  Cell(const char* words) : text(words) {}
  Cell(std::string words, std::string exact, std::string of = "")
      : text(std::move(words)), value(std::move(exact)), unit(std::move(of)) {}
  std::string text;
  std::string value = "";  // as JSON; "": what the text says
  std::string unit = "";   // of the value, for the column's head
};
Cell bytes_cell(uint64_t bytes);  // "48.6 kB", 48591 under "size bytes"
Cell time_cell(double seconds);   // "0:21", 20.812 under "time s"
Cell flag_cell(bool flag);        // "yes", true

// Columns are aligned by what stands in them: numbers to the right, words to the left; two spaces between. Where a table
// is wider than the terminal (in pipes and files, than 120 columns without the words of the last), its heads are
// broken at spaces, then words are broken at spaces and names cut in the middle, those of the first column last; in the end
// its columns are laid out in parts, one below the other, each behind the first column. Numbers stay whole.
class Table {
 public:
  explicit Table(std::vector<std::string> header);
  void add(std::vector<Cell> line);                            // as many as the header has
  std::string text() const { return text(output_columns()); }  // ends with a newline
  std::string text(std::optional<size_t> terminal_columns) const;
  // For programs nothing is cut, the unit that a column has goes into its head, and "-" is an empty cell or null.
  std::string csv() const;
  std::string markdown() const;
  nlohmann::ordered_json json()
      const;  // {"table": the first head, "rows": [{head: value}]}; of equal heads a later gets " 2"

 private:
  std::vector<std::vector<Cell>> lines_;
};

std::string with_commas(int64_t number);                     // 1234567 → "1,234,567"
std::string plural(int64_t number, std::string_view thing);  // "1 task", "1,200 tasks"
inline std::string plural(size_t number, std::string_view thing) { return plural(static_cast<int64_t>(number), thing); }
inline std::string plural(int number, std::string_view thing) { return plural(int64_t{number}, thing); }
std::string bytes_text(uint64_t bytes);  // "1.2 GB" (powers of 1000)
std::string count_text(double count);    // "134.5 M"
std::string time_text(double seconds);   // "0:21", "1:02:09", "3 d 4 h"
// Rising numbers, runs of `shortest` and more of them as ranges: "0-2,8".
std::string ranges_text(const std::vector<int>& numbers, size_t shortest, std::string_view separator);
// At most `columns` code points: the middle gives way to "…", so that what names begin and end with shows.
std::string cut_in_the_middle(const std::string& text, size_t columns);

}  // namespace gaggle
