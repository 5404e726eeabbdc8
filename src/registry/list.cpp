// What is in the registry: versions, keys, folders.
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/names.h"
#include "registry/layout.h"
#include "registry/registry.h"
#include "registry/sidecar.h"

namespace gaggle {

std::vector<ExpertInfo> Registry::list() const {
  const BaseFingerprint of_base = base();
  const fs::path experts = without_links(folder_, folder_ / "experts");
  std::vector<ExpertInfo> infos;
  for (const std::string& name : names_in(experts)) {
    const auto current = current_version(experts / name);
    for (const std::string& version : versions_in(experts / name)) {
      infos.push_back(describe(name, experts / name / version, of_base));
      infos.back().current = version == current;
    }
  }
  return infos;
}

std::optional<ExpertInfo> Registry::find(const std::string& name) const {
  const Pin pin = parse_pin(name, "expert");
  const fs::path parent = without_links(folder_, folder_ / "experts" / pin.name);
  const auto current = current_version(parent);
  const auto version = pin.version.empty() ? current : pin.version;
  if (!version || !fs::is_directory(without_links(folder_, parent / *version))) return std::nullopt;
  ExpertInfo info = describe(pin.name, parent / *version, base());
  info.current = version == current;
  return info;
}

std::optional<ExpertInfo> Registry::find_key(const std::string& name, const std::string& key) const {
  check_name(name, "expert");
  GAGGLE_CHECK(!key.empty());
  const fs::path parent = without_links(folder_, folder_ / "experts" / name);
  for (const std::string& version : versions_in(parent))
    if (key_of(parent / version) == key) {
      ExpertInfo info = describe(name, parent / version, base());
      info.current = version == current_version(parent);
      return info;
    }
  return std::nullopt;
}

fs::path Registry::folder_of(const std::string& name, const std::string& version) const {
  Pin pin = parse_pin(name, "expert");
  if (!version.empty()) pin = parse_pin(pin.name + "@" + version, "expert");
  const fs::path parent = without_links(folder_, folder_ / "experts" / pin.name);
  const auto found = pin.version.empty() ? current_version(parent) : std::optional(pin.version);
  if (!found) {
    const std::string near = nearest_name(pin.name, names_in(folder_ / "experts"));
    user_error(
        "{}: no expert {}{}", folder_.string(), pin.name,
        near.empty() ? " (gaggle registry ls shows what is there)" : fmt::format(" (did you mean {}?)", near));
  }
  const fs::path folder = parent / *found;
  if (!fs::is_directory(without_links(folder_, folder)))
    user_error("{}: expert {} has no version {} (it has {})", folder_.string(), pin.name, *found,
               join(versions_in(parent), ", "));
  return folder;
}

std::string Registry::expert_json(const std::string& name, const std::string& version) const {
  return read_sidecar(folder_of(name, version)).dump(2);
}

std::vector<std::string> Registry::collections() const {
  return names_in(without_links(folder_, folder_ / "collections"));
}

}  // namespace gaggle
