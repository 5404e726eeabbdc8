// A Config as text: --print-config and the key list of --help.
#include <cmath>
#include <filesystem>

#include "base/error.h"
#include "base/names.h"
#include "config/read.h"
#include "config/schema.h"

namespace gaggle {
namespace {

std::string list_text(const std::vector<std::string>& list) {
  std::vector<std::string> quoted;
  for (const auto& item : list) quoted.push_back(toml_quoted(item));
  return "[" + join(quoted, ", ") + "]";
}

// Reading takes relative paths as relative to the file, which may lie anywhere: print them whole.
std::string absolute(const std::string& path) {
  return path.empty() ? path : std::filesystem::absolute(path).lexically_normal().string();
}

struct PrintedField {
  Config& config;
  const Key& key;

  std::string operator()(std::string* value) const {
    const bool hub =
        key.path == PathKind::path_or_hub && looks_like_hub_name(*value) && !std::filesystem::exists(*value);
    return toml_quoted(key.path == PathKind::none || hub ? *value : absolute(*value));
  }
  std::string operator()(std::vector<std::string>* value) const {
    std::vector<std::string> list = *value;
    if (key.path != PathKind::none)
      for (auto& path : list) path = absolute(path);
    return list_text(list);
  }
  template <class Pointer>
  std::string operator()(Pointer value) const {
    return toml_text(value);
  }
};

std::string printed_table(const std::map<std::string, std::string>& table) {
  std::string text;
  for (const auto& [name, path] : table)
    text += fmt::format("{} = {}\n", toml_quoted(name), toml_quoted(absolute(path)));
  return text;
}

// Help as comment lines of readable width.
std::string comment(const std::string& text) {
  std::string lines, line = "#";
  size_t begin = 0;
  while (begin < text.size()) {
    const size_t space = std::min(text.find(' ', begin), text.size());
    const std::string word = text.substr(begin, space - begin);
    if (line.size() + word.size() + 1 > 108) {
      lines += line + "\n";
      line = "#";
    }
    line += " " + word;
    begin = space + 1;
  }
  return lines + line + "\n";
}

std::string described(const Key& key) {
  return key.help + (key.unit.empty() ? "" : " (" + key.unit + ")") +
         (key.check.choices.empty() ? "" : " [" + join(key.check.choices, " | ") + "]");
}

}  // namespace

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

std::string toml_text(const Field& field) {
  struct Text {
    std::string operator()(std::string* value) const { return toml_quoted(*value); }
    std::string operator()(bool* value) const { return *value ? "true" : "false"; }
    std::string operator()(int* value) const { return fmt::format("{}", *value); }
    std::string operator()(int64_t* value) const { return fmt::format("{}", *value); }
    std::string operator()(uint64_t* value) const { return fmt::format("{}", *value); }
    std::string operator()(double* value) const { return fmt::format("{}", *value); }
    std::string operator()(std::optional<double>* value) const {
      return *value ? fmt::format("{}", **value) : "";
    }
    std::string operator()(Interval* value) const {
      return value->minutes > 0 ? fmt::format("\"{} minutes\"", value->minutes)
                                : fmt::format("{}", value->steps);
    }
    std::string operator()(std::vector<std::string>* value) const { return list_text(*value); }
    std::string operator()(std::vector<int64_t>* value) const {
      return fmt::format("[{}]", fmt::join(*value, ", "));
    }
    std::string operator()(std::map<std::string, std::string>* value) const {
      std::vector<std::string> pairs;
      for (const auto& [name, text] : *value) pairs.push_back(toml_quoted(name) + " = " + toml_quoted(text));
      return pairs.empty() ? "{}" : "{ " + join(pairs, ", ") + " }";
    }
  };
  return std::visit(Text{}, field);
}

std::string print_config(const Config& config) {
  Config copy = config;
  std::string text = copy.file.empty() ? "# gaggle: every key at its default\n"
                                       : fmt::format("# gaggle: the resolved configuration of {}\n", copy.file);
  for (const Section& section : config_sections()) {
    text += fmt::format("\n[{}]\n", section.name) + comment(section.help);
    std::string tables;  // [gate.tasks] has to come after the plain keys of [gate]
    for (const Key& key : config_keys()) {
      if (key.section != section.name) continue;
      const auto origin = copy.origin.find(key.full());
      const std::string from = origin == copy.origin.end() ? "default" : origin->second;
      const Field field = key.field(copy);
      if (const auto* table = std::get_if<std::map<std::string, std::string>*>(&field)) {
        tables +=
            fmt::format("\n[{}]  # {}\n", key.full(), from) + comment(described(key)) + printed_table(**table);
        continue;
      }
      const std::string value = std::visit(PrintedField{copy, key}, field);
      text += "\n" + comment(described(key));
      text += value.empty() ? fmt::format("# {} =  # not set\n", key.name)
                            : fmt::format("{} = {}  # {}\n", key.name, value, from);
    }
    text += tables;
  }
  return text;
}

std::string config_keys_text() {
  Config defaults;
  std::string text;
  for (const Section& section : config_sections()) {
    text += fmt::format("\n[{}] {}\n", section.name, section.help);
    for (const Key& key : config_keys()) {
      if (key.section != section.name) continue;
      const std::string value = toml_text(key.field(defaults));
      text +=
          fmt::format("  {:<24} {}{}\n", key.name, described(key),
                      value.empty() || value == "\"\"" || value == "[]" || value == "{}" ? "" : " = " + value);
    }
  }
  return text;
}

}  // namespace gaggle
