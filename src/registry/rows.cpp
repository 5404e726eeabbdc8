#include "registry/rows.h"

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/names.h"
#include "registry/commit.h"
#include "registry/layout.h"
#include "registry/pins.h"
#include "registry/sidecar.h"
#include "registry/sums.h"
#include "registry/versions.h"

namespace gaggle {
namespace {

constexpr const char* row_file = "row.safetensors";

RowInfo row_info(const Version& version, const BaseFingerprint& base) {
  RowInfo info;
  const nlohmann::json sidecar = describe(version, base, info);
  info.task = text_at(sidecar, "task");
  info.parent = text_at(sidecar, "parent");
  return info;
}

void require_parent(const Registry& registry, const StoredRow& row, const std::string& digest) {
  const auto parent = find_version(registry, Kind::routed, row.parent);
  if (!parent)
    user_error("{}: row {}@{} mixes the skills of routed adapter {}, which is not there",
               registry.folder().string(), row.name, row.version, row.parent);
  if (const std::string there = sums_digest(parent->folder); there != digest)
    user_error(
        "{}: row {}@{} was made from another {} (its SHA256SUMS has digest {}…; the one that is there has {}…)",
        registry.folder().string(), row.name, row.version, row.parent, digest.substr(0, 12),
        there.substr(0, 12));
}

}  // namespace

std::string commit_row(const Registry& registry, const NewRow& row) {
  check_name(row.name, words_of(Kind::row).one);
  GAGGLE_CHECK(!row.key.empty() && !row.tensors.empty());
  for (const NamedTensor& tensor : row.tensors)
    GAGGLE_CHECK(tensor.dtype == DType::f32, "{} is not fp32", tensor.name);
  const fs::path parent = registry.folder_of(row.parent, "", Kind::routed);
  const Pin pin{parse_pin(row.parent, words_of(Kind::routed).one).name, parent.filename()};
  Stage stage(registry.folder());
  stage.write(row_file, file_bytes(row.tensors));
  stage.write(words_of(Kind::row).sidecar,
              complete_sidecar(row.name, row.key, row.row_json,
                               {{"parent", pin.text()}, {"parent_sha256", sums_digest(parent)}}));
  return commit_stage(stage, registry.folder(), Kind::row, row.name, row.key);
}

std::vector<RowInfo> list_rows(const Registry& registry) {
  const BaseFingerprint base = registry.base();
  std::vector<RowInfo> infos;
  for (const Version& version : versions_of(registry, Kind::row)) infos.push_back(row_info(version, base));
  return infos;
}

std::optional<RowInfo> find_row(const Registry& registry, const std::string& name) {
  const auto version = find_version(registry, Kind::row, name);
  return version ? std::optional(row_info(*version, registry.base())) : std::nullopt;
}

std::optional<RowInfo> find_row_key(const Registry& registry, const std::string& name, const std::string& key) {
  const auto version = find_version_of_key(registry, Kind::row, name, key);
  return version ? std::optional(row_info(*version, registry.base())) : std::nullopt;
}

StoredRow load_row(const Registry& registry, const std::string& name, const std::string& version) {
  StoredRow row;
  row.folder = registry.folder_of(name, version, Kind::row);
  row.name = parse_pin(name, words_of(Kind::row).one).name;
  row.version = row.folder.filename();
  const nlohmann::json sidecar = read_sidecar(row.folder, Kind::row);
  row.key = text_at(sidecar, "key");
  row.task = text_at(sidecar, "task");
  row.parent = text_at(sidecar, "parent");
  row.json = sidecar.dump(2);
  require_parent(registry, row, text_at(sidecar, "parent_sha256"));
  const fs::path file = without_links(registry.folder(), row.folder / row_file);
  row.tensors = tensors_of(file);
  for (const NamedTensor& tensor : row.tensors)
    if (tensor.dtype != DType::f32)
      user_error("{}: {} has type {}; expected F32", file.string(), tensor.name, name_of(tensor.dtype));
  return row;
}

std::vector<std::string> rows_of(const Registry& registry, const std::string& routed) {
  std::vector<std::string> rows;
  for (const Version& version : versions_of(registry, Kind::row)) {
    const std::string parent = text_at(read_sidecar(version.folder, Kind::row), "parent");
    if (parse_pin(parent, "parent").name == routed) rows.push_back(version.name + "@" + version.version);
  }
  return rows;
}

}  // namespace gaggle
