// What is committed to a registry as a new version of a name.
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "registry/registry.h"

namespace gaggle {

struct NewVersion {
  Kind kind = Kind::expert;
  std::string name;
  std::string key;                            // of the work item; "": an import, or a collection
  std::map<std::string, std::string> files;   // name → bytes; the commit adds the sidecar and SHA256SUMS
  std::vector<std::filesystem::path> linked;  // files of another version, which get a second name here
  // A JSON object in the order in which it is written: task or tasks, base, recipe, data, metrics, parents
  // (["tomi@v0001"]), …; nothing in it differs between two runs of one recipe. The commit puts format, name,
  // key and origin ("trained" unless it says otherwise) before it.
  nlohmann::ordered_json sidecar = nlohmann::ordered_json::object();
};

// What a version of `given` is described by, as it is written.
std::string sidecar_text(const NewVersion& given);

}  // namespace gaggle
