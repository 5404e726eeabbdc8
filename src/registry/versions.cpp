#include "registry/versions.h"

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/names.h"
#include "registry/layout.h"
#include "registry/sidecar.h"

namespace gaggle {
namespace {

fs::path root_of(const Registry& registry, Kind kind) {
  return without_links(registry.folder(), registry.folder() / words_of(kind).folder);
}

std::string made_from(const nlohmann::json& sidecar) {
  const auto parents = sidecar.find("parents");
  if (parents != sidecar.end() && parents->is_array() && !parents->empty()) {
    std::vector<std::string> names;
    for (const auto& parent : *parents)
      if (parent.is_string()) names.push_back(parent.get<std::string>());
    return join(names, ", ");
  }
  const std::string source = text_at(sidecar, "source");
  return source.empty() ? text_at(sidecar, "task") : source;
}

}  // namespace

std::vector<Version> versions_of(const Registry& registry, Kind kind) {
  const fs::path root = root_of(registry, kind);
  std::vector<Version> found;
  for (const std::string& name : names_in(root)) {
    const auto current = current_version(root / name);
    for (const std::string& version : versions_in(root / name))
      found.push_back({kind, name, version, root / name / version, version == current});
  }
  return found;
}

std::optional<Version> find_version(const Registry& registry, Kind kind, const std::string& text) {
  const Pin pin = parse_pin(text, words_of(kind).one);
  const fs::path parent = without_links(registry.folder(), root_of(registry, kind) / pin.name);
  const auto current = current_version(parent);
  const auto version = pin.version.empty() ? current : pin.version;
  if (!version || !fs::is_directory(without_links(registry.folder(), parent / *version))) return std::nullopt;
  return Version{kind, pin.name, *version, parent / *version, version == current};
}

std::optional<Version> find_version_of_key(const Registry& registry, Kind kind, const std::string& name,
                                           const std::string& key) {
  check_name(name, words_of(kind).one);
  GAGGLE_CHECK(!key.empty());
  const fs::path parent = without_links(registry.folder(), root_of(registry, kind) / name);
  for (const std::string& version : versions_in(parent))
    if (key_of(parent / version, kind) == key)
      return Version{kind, name, version, parent / version, version == current_version(parent)};
  return std::nullopt;
}

nlohmann::json describe(const Version& version, const BaseFingerprint& base, VersionInfo& info) {
  nlohmann::json sidecar = read_sidecar(version.folder, version.kind);
  info.name = version.name;
  info.version = version.version;
  info.current = version.current;
  info.key = text_at(sidecar, "key");
  info.origin = text_at(sidecar, "origin");
  info.made_from = made_from(sidecar);
  const auto of_base = sidecar.find("base");
  info.verified =
      of_base != sidecar.end() && of_base->is_object() && text_at(*of_base, "shapes") == base.shapes;
  for (const auto& entry : fs::directory_iterator(version.folder))
    if (entry.is_regular_file() && !entry.is_symlink()) info.bytes += entry.file_size();
  return sidecar;
}

}  // namespace gaggle
