#include "base/entries.h"

#include <algorithm>
#include <cstdlib>

#include "base/screen.h"

namespace gaggle {

size_t page_columns() {
  const char* said = std::getenv("COLUMNS");
  const long columns = said ? std::strtol(said, nullptr, 10) : 0;
  const size_t wanted = columns > 0 ? static_cast<size_t>(columns) : output_columns().value_or(100);
  return std::clamp<size_t>(wanted, 40, 100);
}

std::string entries_block(const std::vector<PageEntry>& entries, size_t columns) {
  size_t column = 8;
  for (const PageEntry& entry : entries)
    if (const size_t needed = columns_of(entry.name) + 4; needed <= columns / 3) column = std::max(column, needed);
  std::string text;
  for (const auto& [name, help] : entries) {
    const bool beside = columns_of(name) + 4 <= column;
    text += "  " + name + (beside ? std::string(column - 2 - columns_of(name), ' ') : "\n" + std::string(column, ' '));
    text += wrapped(std::string(column, ' ') + help, columns, column).substr(column) + "\n";
  }
  return text;
}

}  // namespace gaggle
