// Reading in three passes: files (the included first), overrides, rules between keys. Complaints are collected
// in all of them and thrown as one.
#include "config/read.h"

#include <toml++/toml.h>

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "base/names.h"
#include "config/assign.h"
#include "config/meant.h"
#include "config/schema.h"

namespace gaggle {
namespace {

struct Reader {
  Config config;
  std::vector<std::string> complaints;
  std::vector<fs::path> open_files;  // the chain of includes, for cycles

  // What was typed as an option names its key already.
  void complain(const std::string& where, const std::string& what) {
    const bool named = where.starts_with("--") && what.starts_with(where.substr(2) + ": ");
    complaints.push_back(named ? "--" + what : where + ": " + what);
  }
};

std::string position(const fs::path& file, const toml::source_region& source) {
  return fmt::format("{}:{}:{}", file.string(), source.begin.line, source.begin.column);
}

// "unknown key train.stesp (did you mean train.steps?)"
std::string unknown_key(const std::string& full) {
  for (const RenamedKey& key : renamed_keys)
    if (key.before == full) return fmt::format("{} is called {} now", full, key.now);
  return fmt::format("unknown key {}{}", full, did_you_mean_key(full));
}

std::string unknown_section(const std::string& typed) {
  std::vector<std::string> sections;
  for (const Section& section : config_sections()) sections.push_back(section.name);
  if (const auto meant = keys_meant(typed); !meant.empty()) {
    const Key& key = *find_key(meant[0]);
    return fmt::format("unknown key {} (did you mean {} = … in section [{}]?)", typed, key.name, key.section);
  }
  const std::string near = nearest_name(typed, sections);
  return fmt::format("unknown section [{}] ({})", typed,
                     near.empty() ? "there are: " + join(sections, ", ") : fmt::format("did you mean [{}]?", near));
}

void assign(Reader& reader, const Key& key, const toml::node& node, const fs::path& folder, const std::string& where) {
  const std::string complaint = assign_value(key, node, folder, reader.config);
  if (!complaint.empty()) reader.complain(where, complaint);
  reader.config.origin[key.full()] = where;
}

struct Entry {
  std::string name, where;  // of the key itself: the node's own position is that of its value
  const toml::node* node;
};

// In the order of the file, so that complaints come in that order too.
std::vector<Entry> entries(const fs::path& file, const toml::table& table) {
  std::vector<Entry> all;
  for (const auto& [key, node] : table) all.push_back({std::string(key.str()), position(file, key.source()), &node});
  std::ranges::stable_sort(all, {}, [](const Entry& entry) {
    const toml::source_position& begin = entry.node->source().begin;
    return std::pair(begin.line, begin.column);
  });
  return all;
}

void read_section(Reader& reader, const fs::path& file, const std::string& name, const toml::table& section) {
  for (const auto& [key_name, where, node] : entries(file, section)) {
    const std::string full = name + "." + key_name;
    if (const Key* key = find_key(full))
      assign(reader, *key, *node, file.parent_path(), where);
    else
      reader.complain(where, unknown_key(full));
  }
}

void read_one_file(Reader& reader, const fs::path& file);

void read_include(Reader& reader, const fs::path& file, const toml::table& table) {
  const toml::node* include = table.get("include");
  if (!include) return;
  const std::string where = position(file, include->source());
  const auto name = include->value<std::string>();
  if (!include->is_string() || name->empty()) return reader.complain(where, "include: expected a file name as text");
  const fs::path target = (file.parent_path() / *name).lexically_normal();
  const fs::path whole = fs::weakly_canonical(target);
  if (std::ranges::find(reader.open_files, whole) != reader.open_files.end())
    return reader.complain(where,
                           fmt::format("include: {} includes itself, directly or by way of others", target.string()));
  if (!fs::is_regular_file(target))
    return reader.complain(where, fmt::format("include: there is no file {}", target.string()));
  read_one_file(reader, target);
}

void read_one_file(Reader& reader, const fs::path& file) {
  toml::table table;
  try {
    table = toml::parse(read_file(file), file.string());
  } catch (const toml::parse_error& error) {
    const bool named_so = file.extension() == ".toml";
    return reader.complain(position(file, error.source()),
                           std::string(error.description()) + (named_so ? "" : " (a config is a TOML file)"));
  }
  reader.open_files.push_back(fs::weakly_canonical(file));
  read_include(reader, file, table);
  for (const auto& [name, where, node] : entries(file, table)) {
    if (name == "include") continue;
    if (std::ranges::find(config_sections(), name, &Section::name) == config_sections().end())
      reader.complain(where, unknown_section(name));
    else if (!node->is_table())
      reader.complain(where, fmt::format("{} is a section: write [{}] and its keys below", name, name));
    else
      read_section(reader, file, name, *node->as_table());
  }
  reader.open_files.pop_back();
}

void read_override(Reader& reader, const std::string& text) {
  const size_t equals = text.find('=');
  const std::string full = text.substr(0, equals);
  const std::string where = "--" + full;
  if (equals == std::string::npos) return reader.complain(where, "expected --section.key=value");
  const std::string value = text.substr(equals + 1);
  constexpr std::string_view gate_task = "gate.tasks.";
  if (full.starts_with(gate_task) && full.size() > gate_task.size()) {
    const toml::table entry{{full.substr(gate_task.size()), value}};
    return assign(reader, *find_key("gate.tasks"), entry, "", where);
  }
  const Key* key = find_key(full);
  if (!key) {
    const bool has_section = full.find('.') != std::string::npos;
    return reader.complain(where, has_section ? unknown_key(full) : unknown_section(full));
  }
  const std::string complaint = assign_text(*key, value, reader.config);
  if (!complaint.empty()) reader.complain(where, complaint);
  reader.config.origin[full] = where;
}

}  // namespace

std::vector<std::string> config_key_names() {
  std::vector<std::string> names;
  for (const Key& key : config_keys()) names.push_back(key.full());
  return names;
}

Config read_config(const std::filesystem::path& file, const std::vector<std::string>& overrides) {
  Reader reader;
  if (!fs::is_regular_file(file))
    user_error("{}: there is no such config file{}", file.string(),
               fs::is_directory(file) ? " (it is a folder; a config is a TOML file)" : "");
  reader.config.file = file.string();
  read_one_file(reader, file);
  for (const auto& text : overrides) read_override(reader, text);
  resolve_defaults(reader.config);
  for (const auto& [key, text] : cross_check(reader.config)) {
    const auto origin = reader.config.origin.find(key);
    reader.complain(origin == reader.config.origin.end() ? file.string() : origin->second, text);
  }
  if (!reader.complaints.empty()) throw UserError(join(reader.complaints, "\n"));
  return reader.config;
}

}  // namespace gaggle
