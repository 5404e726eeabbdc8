// What is in the registry: experts, folders, and what a name of any kind means.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/names.h"
#include "registry/layout.h"
#include "registry/registry.h"
#include "registry/sidecar.h"
#include "registry/versions.h"

namespace gaggle {
namespace {

ExpertInfo expert_info(const Version& version, const BaseFingerprint& base) {
  ExpertInfo info;
  const nlohmann::json lora = object_at(describe(version, base, info), "lora");
  info.rank = number_at(lora, "rank");
  info.sites = number_at(lora, "sites");
  info.gated = fs::is_regular_file(version.folder / gate_file);
  return info;
}

}  // namespace

const KindWords& words_of(Kind kind) {
  static constexpr const char* look = "gaggle registry ls shows what is there";
  static constexpr KindWords words[] = {
      {"experts", "expert", "expert.json", look},
      {"routed", "routed adapter", "routed.json", look},
      {"rows", "row", "row.json", look},
      {"collections", "collection", "collection.json", "gaggle registry collect makes one"}};
  return words[static_cast<size_t>(kind)];
}

std::vector<ExpertInfo> Registry::list() const {
  const BaseFingerprint of_base = base();
  std::vector<ExpertInfo> infos;
  for (const Version& version : versions_of(*this, Kind::expert))
    infos.push_back(expert_info(version, of_base));
  return infos;
}

std::optional<ExpertInfo> Registry::find(const std::string& name) const {
  const auto version = find_version(*this, Kind::expert, name);
  return version ? std::optional(expert_info(*version, base())) : std::nullopt;
}

std::optional<ExpertInfo> Registry::find_key(const std::string& name, const std::string& key) const {
  const auto version = find_version_of_key(*this, Kind::expert, name, key);
  return version ? std::optional(expert_info(*version, base())) : std::nullopt;
}

fs::path Registry::folder_of(const std::string& name, const std::string& version, Kind kind) const {
  const KindWords& words = words_of(kind);
  Pin pin = parse_pin(name, words.one);
  if (!version.empty()) pin = parse_pin(pin.name + "@" + version, words.one);
  if (const auto found = find_version(*this, kind, pin.text())) return found->folder;
  const auto versions = versions_in(folder_ / words.folder / pin.name);
  if (!versions.empty())
    user_error("{}: {} {} has no version {} (it has {})", folder_.string(), words.one, pin.name, pin.version,
               join(versions, ", "));
  const std::string near = nearest_name(pin.name, names_in(folder_ / words.folder));
  user_error("{}: no {} {} ({})", folder_.string(), words.one, pin.name,
             near.empty() ? words.hint : fmt::format("did you mean {}?", near));
}

Located Registry::locate(const std::string& text, const std::vector<Kind>& among) const {
  std::vector<std::string> meanings, names;
  std::vector<Kind> found;
  const size_t slash = text.find('/');
  const std::string prefix = text.substr(0, slash),
                    plain = slash == std::string::npos ? text : text.substr(slash + 1);
  const Pin pin = parse_pin(plain, "name");
  for (Kind kind : among) {
    const KindWords& words = words_of(kind);
    if (slash != std::string::npos && prefix == words.folder)
      return {kind, pin.name, folder_of(plain, "", kind)};
    for (const std::string& name : names_in(without_links(folder_, folder_ / words.folder)))
      names.push_back(name);
    meanings.push_back(fmt::format("{}/{}", words.folder, pin.name));
    if (current_version(without_links(folder_, folder_ / words.folder / pin.name))) found.push_back(kind);
  }
  if (slash != std::string::npos)
    user_error("\"{}\": before the / stands a kind; expected {}", text, join(meanings, ", "));
  if (found.size() == 1) return {found[0], pin.name, folder_of(plain, "", found[0])};
  if (found.empty()) {
    const std::string near = nearest_name(pin.name, names);
    user_error("{}: no {} is there ({})", folder_.string(), join(meanings, ", "),
               near.empty() ? words_of(Kind::expert).hint : fmt::format("did you mean {}?", near));
  }
  meanings.clear();
  for (Kind kind : found) meanings.push_back(fmt::format("{}/{}", words_of(kind).folder, plain));
  user_error("{}: {} is a name of several kinds; write {}", folder_.string(), pin.name, join(meanings, " or "));
}

std::string Registry::expert_json(const std::string& name, const std::string& version) const {
  return read_sidecar(folder_of(name, version), Kind::expert).dump(2);
}

std::vector<std::string> Registry::collections() const {
  return names_in(without_links(folder_, folder_ / "collections"));
}

}  // namespace gaggle
