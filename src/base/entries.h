// Names with what they mean beside them, as pages of help have them.
#pragma once

#include <string>
#include <vector>

namespace gaggle {

// Columns of a page that people read: COLUMNS where that is set, else those of the terminal, at most 100 (so in pipes), at least 40.
size_t page_columns();

struct PageEntry {
  std::string name, help;
};
// "  name   help", the help of all in one column and wrapped there; a name that is longer than a third of the page has a line
// of its own.
std::string entries_block(const std::vector<PageEntry>& entries, size_t columns);

}  // namespace gaggle
