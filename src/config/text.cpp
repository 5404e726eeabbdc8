// A Config as text: --print-config, and the keys as a page.
#include <algorithm>
#include <filesystem>
#include <ranges>
#include <set>

#include "base/entries.h"
#include "base/error.h"
#include "base/names.h"
#include "base/screen.h"
#include "base/shell_word.h"
#include "config/read.h"
#include "config/schema.h"

namespace gaggle {
namespace {

// Reading takes relative paths as relative to the file, which may lie anywhere: print them whole.
void make_paths_whole(const Key& key, const Field& field) {
  const auto make_whole = [&](std::string& path) {
    if (!path.empty() && !is_hub_name(key.check.path, path, path))
      path = std::filesystem::absolute(path).lexically_normal().string();
  };
  if (key.check.path == PathKind::none) return;
  if (auto* const* path = std::get_if<std::string*>(&field)) make_whole(**path);
  if (auto* const* list = std::get_if<std::vector<std::string>*>(&field))
    for (std::string& path : **list) make_whole(path);
  if (auto* const* table = std::get_if<std::map<std::string, std::string>*>(&field))
    for (auto& [name, path] : **table) make_whole(path);
}

// A field as a TOML value.
struct TomlValue {
  std::string operator()(std::string* value) const { return toml_quoted(*value); }
  std::string operator()(bool* value) const { return *value ? "true" : "false"; }
  template <class Number>
  std::string operator()(Number* value) const {
    return fmt::format("{}", *value);
  }
  std::string operator()(std::optional<double>* value) const { return *value ? fmt::format("{}", **value) : ""; }
  std::string operator()(Interval* value) const {
    return value->minutes > 0 ? fmt::format("\"{} minutes\"", value->minutes) : fmt::format("{}", value->steps);
  }
  std::string operator()(CountOrAuto* value) const {
    return value->count == 0 ? toml_quoted("auto") : fmt::format("{}", value->count);
  }
  std::string operator()(std::vector<std::string>* value) const {
    return fmt::format("[{}]", fmt::join(*value | std::views::transform(toml_quoted), ", "));
  }
  std::string operator()(std::vector<int64_t>* value) const { return fmt::format("[{}]", fmt::join(*value, ", ")); }
  std::string operator()(std::map<std::string, std::string>* value) const {
    std::vector<std::string> pairs;
    for (const auto& [name, text] : *value) pairs.push_back(toml_quoted(name) + " = " + toml_quoted(text));
    return pairs.empty() ? "{}" : "{ " + join(pairs, ", ") + " }";
  }
};

}  // namespace

std::string toml_comment(const std::string& text) {
  std::string lines, line = "#";
  for (const auto part : std::views::split(text, ' ')) {
    const std::string word(part.begin(), part.end());
    if (line.size() + word.size() + 1 > 108) {
      lines += line + "\n";
      line = "#";
    }
    line += " " + word;
  }
  return lines + line + "\n";
}

std::string described(const Key& key) {
  return key.help + (key.unit.empty() ? "" : " (" + key.unit + ")") +
         (key.check.choices.empty() ? "" : " [" + join(key.check.choices, " | ") + "]");
}

std::string toml_quoted(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\')
      quoted += std::string("\\") + c;
    else if (c == '\n')
      quoted += "\\n";
    else if (c == '\t')
      quoted += "\\t";
    else if (byte < 0x20 || byte == 0x7F)
      quoted += fmt::format("\\u{:04X}", byte);
    else
      quoted += c;
  }
  return quoted + "\"";
}

std::string toml_text(const Field& field) { return std::visit(TomlValue{}, field); }

bool is_typed(const Config& config, const std::string& key) {
  const auto origin = config.origin.find(key);
  return origin != config.origin.end() && origin->second.starts_with("--");
}

std::string typed_again(const Config& config) {
  static const std::set<std::string> sections = {"run", "model", "data", "registry", "eval"};
  Config copy = config;
  std::string words = shell_word(copy.file);
  for (const Key& key : config_keys()) {
    if (!sections.contains(key.section) || !is_typed(config, key.full())) continue;
    const Field field = key.field(copy);
    const auto* const* text = std::get_if<std::string*>(&field);
    words += fmt::format(" --{}={}", key.full(), shell_word(text ? **text : toml_text(field)));
  }
  return words;
}

std::string print_config(const Config& config) {
  Config copy = config;
  std::string text = copy.file.empty() ? "# gaggle: every key at its default\n"
                                       : fmt::format("# gaggle: the resolved configuration of {}\n", copy.file);
  for (const Section& section : config_sections()) {
    text += fmt::format("\n[{}]\n", section.name) + toml_comment(section.help);
    std::string tables;  // [gate.tasks] has to come after the plain keys of [gate]
    for (const Key& key : config_keys()) {
      if (key.section != section.name) continue;
      const auto origin = copy.origin.find(key.full());
      const std::string from = origin == copy.origin.end() ? "default" : origin->second;
      const Field field = key.field(copy);
      make_paths_whole(key, field);
      if (const auto* table = std::get_if<std::map<std::string, std::string>*>(&field)) {
        tables += fmt::format("\n[{}]  # {}\n", key.full(), from) + toml_comment(described(key));
        for (const auto& [name, path] : **table)
          tables += fmt::format("{} = {}\n", toml_quoted(name), toml_quoted(path));
        continue;
      }
      const std::string value = toml_text(field);
      text += "\n" + toml_comment(described(key));
      text += value.empty() ? fmt::format("# {} =  # not set\n", key.name)
                            : fmt::format("{} = {}  # {}\n", key.name, value, from);
    }
    text += tables;
  }
  return text;
}

std::string config_keys_page(const std::vector<std::string>& wanted, size_t width) {
  Config defaults;
  std::string text;
  for (const Section& section : config_sections()) {
    std::vector<PageEntry> entries;
    for (const Key& key : config_keys()) {
      const bool asked =
          wanted.empty() || std::ranges::count(wanted, section.name) + std::ranges::count(wanted, key.full());
      if (key.section != section.name || !asked) continue;
      const std::string value = toml_text(key.field(defaults));
      const bool set = !value.empty() && value != "\"\"" && value != "[]" && value != "{}";
      entries.push_back({key.name + (set ? " = " + value : ""), described(key)});
    }
    if (entries.empty()) continue;
    text += (text.empty() ? "" : "\n") + wrapped(fmt::format("[{}] {}", section.name, section.help), width) + "\n";
    text += entries_block(entries, width);
  }
  return text;
}

}  // namespace gaggle
