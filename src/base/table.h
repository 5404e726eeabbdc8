// Small aligned tables and numbers with units, for the terminal.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gaggle {

// Columns are aligned by what stands in them: numbers to the right, words to the left; two spaces between.
class Table {
 public:
  explicit Table(std::vector<std::string> header);
  void add(std::vector<std::string> line);  // as many cells as the header
  std::string text() const;                 // ends with a newline

 private:
  std::vector<std::vector<std::string>> lines_;
};

std::string with_commas(int64_t number);                     // 1234567 → "1,234,567"
std::string plural(int64_t number, std::string_view thing);  // "1 task", "1,200 tasks"
std::string bytes_text(uint64_t bytes);                      // "1.2 GB" (powers of 1000)
std::string count_text(double count);                        // "134.5 M"
std::string time_text(double seconds);                       // "0:21", "1:02:09", "3 d 4 h"
// Rising numbers, runs of `shortest` and more of them as ranges: "0-2,8".
std::string ranges_text(const std::vector<int>& numbers, size_t shortest, std::string_view separator);

}  // namespace gaggle
