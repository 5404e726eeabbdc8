#include "workflow/folder_contents.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/names.h"

namespace gaggle {
namespace {

constexpr int deepest = 2;
constexpr size_t looked_at = 1 << 16;  // bytes of a file's beginning

void look_through(const fs::path& folder, int depth, FolderContents& found) {
  std::error_code failed;
  std::set<fs::path> entries;
  for (const auto& entry : fs::directory_iterator(folder, failed)) entries.insert(entry.path());
  if (failed && depth == 0) user_error("{}: the folder cannot be read ({})", folder.string(), failed.message());
  const auto has = [&](const char* name) { return entries.contains(folder / name); };
  if (has("registry.json") || (has("config.toml") && depth > 0) || has("adapter_config.json")) return;
  const bool is_model = has("config.json");
  if (is_model) found.models.push_back(folder);
  if (is_model && depth > 0) return;
  bool has_tasks = false;
  for (const fs::path& path : entries) {
    const std::string name = path.filename().string(), ending = path.extension().string();
    if (name.starts_with('.')) continue;
    if (fs::is_directory(path, failed)) {
      if (depth < deepest) look_through(path, depth + 1, found);
    } else if (ending == ".gguf") {
      found.models.push_back(path);
    } else if (ending == ".jsonl") {
      // A config lies in the folder itself, and would be taken for a task's .toml if all of it were one of tasks.
      if (depth == 0) found.tasks.push_back(path);
      has_tasks = true;
    } else if (ending == ".csv" || ending == ".tsv" || ending == ".parquet" ||
               (!is_model && (ending == ".json" || ending == ".txt"))) {
      found.others.push_back(path);
    }
  }
  if (has_tasks && depth > 0) found.tasks.push_back(folder);
}

std::string beginning_of(const fs::path& file) {
  std::string text(looked_at, '\0');
  const Descriptor opened = open_to_read(file);
  const ssize_t count = ::read(opened.fd, text.data(), text.size());
  text.resize(static_cast<size_t>(std::max<ssize_t>(0, count)));
  return text.starts_with("\xEF\xBB\xBF") ? text.substr(3) : text;
}

std::vector<std::string> columns_of_line(const std::string& line, char separator) {
  std::vector<std::string> columns(1);
  bool quoted = false;
  for (const char c : line) {
    if (c == '"')
      quoted = !quoted;
    else if (c == separator && !quoted)
      columns.emplace_back();
    else if (c != '\r')
      columns.back() += c;
  }
  return columns;
}

// Of a JSON list's or of JSON lines' first object.
std::vector<std::string> keys_of_first(const std::string& text) {
  const size_t begin = text.find('{');
  std::vector<std::string> keys;
  if (begin == std::string::npos) return keys;
  // Where the object ends is not known before it is read: the first brace with which it is whole.
  size_t end = text.find('}', begin);
  for (int tries = 0; tries < 50 && end != std::string::npos; ++tries, end = text.find('}', end + 1)) {
    try {
      const auto first = parse_json<nlohmann::ordered_json>(text.substr(begin, end + 1 - begin));
      for (const auto& [key, value] : first.items()) keys.push_back(key);
      return keys;
    } catch (const std::exception&) {
    }
  }
  return keys;
}

// " --input-field question --output-field answer"; "": tools/tasks.py takes the row as it is.
std::string field_options(const std::vector<std::string>& columns) {
  const auto has = [&](const char* name) { return std::ranges::find(columns, name) != columns.end(); };
  if (columns.empty() || has("messages") || has("conversations") || (has("input") && has("output")) ||
      (has("instruction") && has("output")))
    return "";
  static constexpr std::array inputs = {"input",    "question", "prompt", "instruction", "text",
                                        "sentence", "query",    "review", "document",    "context"};
  static constexpr std::array outputs = {"output",     "answer",   "label", "target", "response",
                                         "completion", "category", "class", "summary"};
  const auto first_of = [&](const auto& names, size_t place) -> std::string {
    for (const char* name : names)
      if (has(name)) return name;
    return columns.size() == 2 ? columns[place] : "COLUMN";
  };
  const std::string input = first_of(inputs, 0), output = first_of(outputs, 1);
  const bool unknown = input == "COLUMN" || output == "COLUMN";
  return fmt::format(" --input-field {} --output-field {}{}", input, output,
                     unknown ? fmt::format(" (columns: {})", join(columns, ", ")) : "");
}

}  // namespace

bool has_other_rows(const fs::path& file) {
  const std::string text = beginning_of(file);
  const std::vector<std::string> keys = keys_of_first(text.substr(0, text.find('\n')));
  const auto has = [&](const char* name) { return std::ranges::find(keys, name) != keys.end(); };
  return !keys.empty() && !(has("input") && has("output"));
}

FolderContents contents_of(const fs::path& folder) {
  FolderContents found;
  look_through(folder, 0, found);
  return found;
}

std::string converting_line(const fs::path& file, const fs::path& out) {
  const std::string ending = file.extension().string();
  std::string kind = ending == ".parquet" ? "parquet" : ending == ".txt" ? "text" : "json", options;
  if (ending == ".csv" || ending == ".tsv") {
    kind = "csv";
    const std::string text = beginning_of(file);
    options = field_options(columns_of_line(text.substr(0, text.find('\n')), ending == ".tsv" ? '\t' : ','));
  } else if (kind == "json") {
    options = field_options(keys_of_first(beginning_of(file)));
  }
  return fmt::format("tools/tasks.py {} {} --out {}{}", kind, file.string(), out.string(), options);
}

}  // namespace gaggle
