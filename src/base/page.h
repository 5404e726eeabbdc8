// What a command prints in the end: words and tables, in order.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "base/table.h"

namespace gaggle {

class Page {
 public:
  Page() = default;
  Page(std::string words) { parts_.emplace_back(std::move(words)); }
  Page(const char* words) : Page(std::string(words)) {}
  Page(Table table) { parts_.emplace_back(std::move(table)); }
  Page& operator+=(Page more);
  friend Page operator+(Page before, Page after) { return std::move(before += std::move(after)); }
  bool empty() const { return parts_.empty(); }
  std::string text() const;  // as tables in text have it, words wrapped for a terminal
  // Standard output has all of it as text; in another format (table_format) the tables alone, which a program reads:
  // of csv and markdown with an empty line between, of json an array. The words go to standard error.
  void print() const;

 private:
  std::vector<std::variant<std::string, Table>> parts_;
};

// Words that no table stands among. Where tables are for programs they go to standard error.
void print_words(const std::string& words);

// The line that ends a page whose tables use words which not everybody knows.
std::string glossary_line();

}  // namespace gaggle
