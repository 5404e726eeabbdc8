#include "data/about.h"

#include <toml++/toml.h>

#include <algorithm>
#include <cmath>
#include <sstream>

#include "base/error.h"
#include "base/file.h"
#include "base/names.h"

namespace gaggle {
namespace {

const std::vector<std::string> about_keys = {"definition", "prompt", "metric", "category", "group", "files"};
const std::vector<std::string> file_keys = {"path", "weight"};
const std::vector<std::string> metrics = {"accuracy", "exact_match", "f1", "rouge_l", "nll"};
// Each copy of an example lies in memory.
constexpr double most_weight = 1000;

std::string position(const std::filesystem::path& file, const toml::source_region& source) {
  return fmt::format("{}:{}:{}", file.string(), source.begin.line, source.begin.column);
}

void check_keys(const std::filesystem::path& file, const toml::table& table, const std::vector<std::string>& known) {
  for (const auto& [key, value] : table) {
    if (std::find(known.begin(), known.end(), key.str()) != known.end()) continue;
    user_error("{}: unknown key {} ({})", position(file, key.source()), key.str(), known_names(key.str(), known));
  }
}

std::string text_of(const std::filesystem::path& file, const toml::table& table, const char* key) {
  const toml::node* node = table.get(key);
  if (!node) return "";
  if (!node->is_string()) user_error("{}: {} is not a text in quotes", position(file, node->source()), key);
  return node->as_string()->get();
}

WeightedFile file_of(const std::filesystem::path& file, const toml::node& node) {
  const toml::table* table = node.as_table();
  if (!table || !table->contains("path"))
    user_error("{}: expected {{ path = \"rows.jsonl\", weight = 1.0 }}", position(file, node.source()));
  check_keys(file, *table, file_keys);
  WeightedFile result{file.parent_path() / text_of(file, *table, "path"), 1};
  if (const toml::node* weight = table->get("weight")) {
    const auto number = weight->is_number() ? weight->value<double>() : std::nullopt;
    if (!number || !std::isfinite(*number) || *number <= 0 || *number > most_weight)
      user_error(
          "{}: weight is not a number above 0 and at most {:g} (times each training example of the file is taken)",
          position(file, weight->source()), most_weight);
    result.weight = *number;
  }
  return result;
}

}  // namespace

About read_about(const std::filesystem::path& file) {
  toml::table table;
  try {
    table = toml::parse(read_file(file), file.string());
  } catch (const toml::parse_error& error) {
    user_error("{}: {}", position(file, error.source()), error.description());
  }
  check_keys(file, table, about_keys);
  About about;
  about.definition = text_of(file, table, "definition");
  about.prompt = text_of(file, table, "prompt");
  about.category = text_of(file, table, "category");
  about.group = text_of(file, table, "group");
  if (!about.group.empty()) check_name(about.group, position(file, table.get("group")->source()) + ": group");
  about.metric = text_of(file, table, "metric");
  if (!about.metric.empty() && std::find(metrics.begin(), metrics.end(), about.metric) == metrics.end())
    user_error("{}: unknown metric \"{}\" (known: {})", position(file, table.get("metric")->source()), about.metric,
               join(metrics, ", "));
  if (const toml::node* files = table.get("files")) {
    if (!files->is_array() || files->as_array()->empty())
      user_error("{}: files is not a list of {{ path = …, weight = … }}", position(file, files->source()));
    for (const toml::node& node : *files->as_array()) about.files.push_back(file_of(file, node));
  }
  return about;
}

std::string about_text(const About& about, const std::filesystem::path& folder) {
  toml::table table;
  const auto put = [&](const char* key, const std::string& text) {
    if (!text.empty()) table.insert(key, text);
  };
  put("definition", about.definition);
  put("prompt", about.prompt);
  put("metric", about.metric);
  put("category", about.category);
  toml::array files;
  for (const WeightedFile& file : about.files) {
    toml::table entry{{"path", std::filesystem::relative(file.path, folder).string()}};
    if (file.weight != 1) entry.insert("weight", file.weight);
    entry.is_inline(true);
    files.push_back(std::move(entry));
  }
  if (!files.empty()) table.insert("files", std::move(files));
  std::ostringstream text;
  text << table << "\n";
  return text.str();
}

int64_t times_taken(int64_t i, double weight) {
  // The small addend keeps ⌊3·(1/3)⌋ = 1.
  const auto taken = [&](int64_t n) {
    return static_cast<int64_t>(std::floor(static_cast<double>(n) * weight + 1e-9));
  };
  return taken(i + 1) - taken(i);
}

}  // namespace gaggle
