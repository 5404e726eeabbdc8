// Hugging Face's local cache: models--ORG--NAME/{refs,snapshots}, whose files link into blobs/. Never the net.
#include <algorithm>
#include <cstdlib>

#include "base/error.h"
#include "base/file.h"
#include "base/names.h"
#include "formats/model_files.h"

namespace gaggle {
namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

fs::path cache_folder() {
  for (const char* name : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"})
    if (const std::string value = variable(name); !value.empty()) return value;
  if (const std::string home = variable("HF_HOME"); !home.empty()) return fs::path(home) / "hub";
  if (const std::string cache = variable("XDG_CACHE_HOME"); !cache.empty()) return fs::path(cache) / "huggingface/hub";
  return fs::path(variable("HOME")) / ".cache/huggingface/hub";
}

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : entries_of(folder)) names.push_back(entry.path().filename().string());
  std::ranges::sort(names);
  return names;
}

}  // namespace

ModelPlace find_in_hub_cache(const std::string& name, const std::string& revision) {
  std::string folder_name = "models--" + name;
  for (size_t at = folder_name.find('/'); at != std::string::npos; at = folder_name.find('/', at))
    folder_name.replace(at, 1, "--");
  const fs::path cache = cache_folder(), model = cache / folder_name;
  const std::string wanted = revision.empty() ? "main" : revision;
  if (!fs::is_directory(model))
    user_error(
        "model.path {}: no such file or folder, and no model of that name in the hub cache {} (looked for {}; "
        "HF_HUB_CACHE or HF_HOME moves it); hf download {} brings it there, after hf auth login where it is gated",
        name, cache.string(), folder_name, name);
  if (wanted.find("..") != std::string::npos || wanted[0] == '/')
    user_error("model.revision {} is no revision's name", wanted);
  std::string commit = wanted;
  if (const fs::path ref = model / "refs" / wanted; fs::is_regular_file(ref)) {
    commit = read_file(ref);
    commit.erase(commit.find_last_not_of(" \n\r\t") + 1);
  }
  const fs::path snapshot = model / "snapshots" / commit;
  if (commit.empty() || commit.find('/') != std::string::npos || !fs::is_directory(snapshot)) {
    const auto snapshots = names_in(model / "snapshots");
    user_error("model.revision {} of {} is not in the hub cache {}; there {}", wanted, name, model.string(),
               snapshots.empty() ? "is no snapshot" : "is " + join(snapshots, ", "));
  }
  return {snapshot, commit};
}

}  // namespace gaggle
