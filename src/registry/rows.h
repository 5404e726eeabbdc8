// Rows in a registry: rows/NAME/vNNNN/ with row.safetensors, a task's routing row that was adapted alone
// (MHR-z), and row.json, which names the routed adapter whose skills it mixes.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "registry/registry.h"

namespace gaggle {

// What is committed as a new version.
struct NewRow {
  std::string name;
  std::string parent;                // routed adapter, "mhr" or "mhr@v0001"
  std::vector<NamedTensor> tensors;  // fp32; one for each site or router group, named by the caller
  // A JSON object: task, recipe, data, metrics, …, as routed_json of NewRouted. The commit adds key, origin,
  // parent ("mhr@v0001") and parent_sha256 (StoredRouted::digest).
  std::string row_json;
  std::string key;  // of the work item; not ""
};

struct StoredRow {
  std::string name, version;
  std::filesystem::path folder;
  std::string key;
  std::string task;
  std::string parent;  // "mhr@v0001", which is there as it was
  std::string json;    // row.json
  std::vector<NamedTensor> tensors;
};

struct RowInfo : VersionInfo {
  std::string task, parent;
};

// As commit_routed. Throws UserError if the parent is not there.
std::string commit_row(const Registry& registry, const NewRow& row);

std::vector<RowInfo> list_rows(const Registry& registry);  // every version, in order of name and version
std::optional<RowInfo> find_row(const Registry& registry, const std::string& name);  // name or name@version
std::optional<RowInfo> find_row_key(const Registry& registry, const std::string& name,
                                    const std::string& key);  // any version
// "": CURRENT. Throws UserError: not there, tensors that are not fp32, a parent that is gone or is not the one
// that the row was made from.
StoredRow load_row(const Registry& registry, const std::string& name, const std::string& version = "");

}  // namespace gaggle
