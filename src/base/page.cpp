#include "base/page.h"

#include <nlohmann/json.hpp>

#include "base/log.h"
#include "base/screen.h"
#include "base/terminal.h"

namespace gaggle {
namespace {

std::string words_for_output(const std::string& words) {
  const auto columns = output_columns();
  return columns ? wrapped(words, *columns) : words;
}

// Without the empty lines around it.
void say_beside(std::string words) {
  words.erase(0, words.find_first_not_of('\n'));
  words.erase(words.find_last_not_of('\n') + 1);
  if (!words.empty()) log::write_info(words);
}

std::string tables_text(const std::vector<const Table*>& tables) {
  if (table_format() == TableFormat::json) {
    auto all = nlohmann::ordered_json::array();
    for (const Table* table : tables) all.push_back(table->json());
    return all.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  }
  std::string text;
  for (const Table* table : tables)
    text += (text.empty() ? "" : "\n") + (table_format() == TableFormat::csv ? table->csv() : table->markdown());
  return text;
}

}  // namespace

Page& Page::operator+=(Page more) {
  for (auto& part : more.parts_) parts_.push_back(std::move(part));
  return *this;
}

std::string Page::text() const {
  std::string text;
  for (const auto& part : parts_) {
    const auto* words = std::get_if<std::string>(&part);
    text += words ? words_for_output(*words) : std::get<Table>(part).text();
  }
  return text;
}

void Page::print() const {
  if (table_format() == TableFormat::text) return write_out(text());
  std::vector<const Table*> tables;
  for (const auto& part : parts_) {
    if (const auto* table = std::get_if<Table>(&part)) tables.push_back(table);
    if (const auto* words = std::get_if<std::string>(&part)) say_beside(*words);
  }
  write_out(tables_text(tables));
}

void print_words(const std::string& words) {
  table_format() == TableFormat::text ? write_out(words_for_output(words)) : say_beside(words);
}

std::string glossary_line() { return "what these words mean: docs/glossary.md\n"; }

}  // namespace gaggle
