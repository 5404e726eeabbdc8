// What is in the registry: versions by kind and name, by key, and what a name of any kind means.
#include "base/error.h"
#include "base/file.h"
#include "base/names.h"
#include "registry/layout.h"
#include "registry/registry.h"
#include "registry/version_files.h"

namespace gaggle {

const KindWords& words_of(Kind kind) {
  static constexpr const char* look = "gaggle registry ls shows what is there";
  static constexpr KindWords words[] = {
      {"experts", "expert", "expert.json", look},
      {"inventories", "inventory", "inventory.json", look},
      {"routing_rows", "routing row", "routing_row.json", look},
      {"collections", "collection", "collection.json",
       "gaggle experts makes one of what it trains, gaggle registry collect of experts that are there"}};
  return words[static_cast<size_t>(kind)];
}

namespace {

std::string advice(Kind kind, const std::string& name, const std::vector<std::string>& known) {
  const std::string near = nearest_name(name, known);
  return near.empty() ? words_of(kind).hint : fmt::format("did you mean {}?", near);
}

}  // namespace

fs::path Registry::root_of(Kind kind) const { return without_links(folder_, folder_ / words_of(kind).folder); }

std::vector<Version> Registry::list(Kind kind) const {
  const fs::path root = root_of(kind);
  std::vector<Version> found;
  for (const std::string& name : names_in(root)) {
    const auto current = current_version(root / name);
    for (const std::string& version : versions_in(root / name))
      found.push_back({kind, name, version, root / name / version, version == current});
  }
  return found;
}

std::optional<Version> Registry::find(Kind kind, const std::string& name) const {
  const Pin pin = parse_pin(name, words_of(kind).one);
  const fs::path parent = without_links(folder_, root_of(kind) / pin.name);
  const auto current = current_version(parent);
  const auto version = pin.version.empty() ? current : pin.version;
  if (!version || !fs::is_directory(without_links(folder_, parent / *version))) return std::nullopt;
  return Version{kind, pin.name, *version, parent / *version, version == current};
}

std::optional<Version> Registry::find_key(Kind kind, const std::string& name, const std::string& key) const {
  check_name(name, words_of(kind).one);
  GAGGLE_CHECK(!key.empty());
  const fs::path parent = without_links(folder_, root_of(kind) / name);
  for (const std::string& version : versions_in(parent))
    if (key_of(parent / version, kind) == key)
      return Version{kind, name, version, parent / version, version == current_version(parent)};
  return std::nullopt;
}

Version Registry::load(Kind kind, const std::string& name) const {
  if (const auto found = find(kind, name)) return *found;
  const KindWords& words = words_of(kind);
  const Pin pin = parse_pin(name, words.one);
  const auto versions = versions_in(root_of(kind) / pin.name);
  if (!versions.empty())
    user_error("{}: {} {} has no version {} (it has {})", folder_.string(), words.one, pin.name, pin.version,
               join(versions, ", "));
  user_error("{}: no {} {} ({})", folder_.string(), words.one, pin.name,
             advice(kind, pin.name, names_in(root_of(kind))));
}

Version Registry::locate(const std::string& text, const std::vector<Kind>& among) const {
  const size_t slash = text.find('/');
  const std::string prefix = text.substr(0, slash), plain = slash == std::string::npos ? text : text.substr(slash + 1);
  const Pin pin = parse_pin(plain, "name");
  std::vector<std::string> meanings, found_as;
  Kind found = Kind::expert;
  for (const Kind kind : among) {
    const std::string folder = words_of(kind).folder;
    if (slash != std::string::npos && prefix == folder) return load(kind, plain);
    meanings.push_back(fmt::format("{}/{}", folder, pin.name));
    if (!find(kind, pin.name)) continue;
    found_as.push_back(fmt::format("{}/{}", folder, plain));
    found = kind;
  }
  if (slash != std::string::npos)
    user_error("\"{}\": before the / stands a kind; expected {}", text, join(meanings, ", "));
  if (found_as.size() > 1)
    user_error("{}: {} is a name of several kinds; write {}", folder_.string(), pin.name, join(found_as, " or "));
  if (!found_as.empty()) return load(found, plain);
  std::vector<std::string> names;
  for (const Kind kind : among)
    for (const std::string& name : names_in(root_of(kind))) names.push_back(name);
  user_error("{}: no {} is there ({})", folder_.string(), join(meanings, ", "), advice(Kind::expert, pin.name, names));
}

}  // namespace gaggle
