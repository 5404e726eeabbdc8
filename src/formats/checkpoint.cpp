#include "formats/checkpoint.h"

#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "base/names.h"
#include "base/sha256.h"
#include "formats/model_files.h"

namespace gaggle {
namespace {

namespace fs = std::filesystem;

// "org/name" or "name", nothing that can only be meant as a path.
bool may_be_hub_name(const std::string& path) {
  const size_t slash = path.find('/');
  return !path.empty() && path[0] != '.' && path[0] != '/' && path[0] != '~' && !path.ends_with(".gguf") &&
         path.find("..") == std::string::npos && slash + 1 != path.size() &&
         (slash == std::string::npos || path.find('/', slash + 1) == std::string::npos);
}

ModelPlace resolve(const std::string& path, const std::string& revision) {
  if (path.empty()) user_error("model.path is not set: give a folder with config.json, a .gguf file, or a hub name");
  if (!fs::exists(path)) {
    if (!may_be_hub_name(path)) user_error("model.path {}: no such file or folder", path);
    return find_in_hub_cache(path, revision);
  }
  if (!fs::is_directory(path) && !path.ends_with(".gguf"))
    user_error("model.path {}: expected a folder with config.json, or a file ending in .gguf", path);
  if (!revision.empty() && revision != "main")
    log::warning("model.revision {} has no effect: {} is no hub name", revision, path);
  return {path, ""};
}

// A folder with config.json is the model itself; one that holds a single GGUF file means that file.
fs::path container(const fs::path& found) {
  if (!fs::is_directory(found) || fs::exists(found / "config.json")) return found;
  std::vector<std::string> files;
  for (const auto& entry : fs::directory_iterator(found))
    if (entry.path().extension() == ".gguf") files.push_back(entry.path().filename().string());
  if (files.size() != 1)
    user_error("{}: neither config.json nor exactly one .gguf file is there ({}", found.string(),
               files.empty() ? "none is); was its download refused or cut short?"
                             : join(files, ", ") + " are); name the file");
  return found / files[0];
}

}  // namespace

std::string shapes_digest(std::vector<WeightInfo> weights) {
  std::ranges::sort(weights, {}, &WeightInfo::name);
  Sha256 digest;
  for (const WeightInfo& weight : weights) {
    std::string line = weight.name;
    for (int64_t extent : weight.shape) line += " " + std::to_string(extent);
    digest.update(line + "\n");
  }
  return digest.hex();
}

StoredRows ModelCheckpoint::stored(const WeightInfo& weight) const {
  GAGGLE_CHECK(false, "{} is of plain numbers", weight.name);
  return {};
}

std::unique_ptr<ModelCheckpoint> open_model(const std::string& path, const std::string& revision) {
  ModelPlace place = resolve(path, revision);
  place.path = container(place.path);
  // A snapshot's folder is called after its commit: people know the model by its hub name.
  const fs::path plain = fs::path(path).lexically_normal();
  place.name = !place.commit.empty() ? path : (plain.has_filename() ? plain : plain.parent_path()).filename().string();
  return fs::is_directory(place.path) ? open_hf_folder(place) : open_gguf_model(place);
}

}  // namespace gaggle
