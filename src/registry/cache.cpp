#include "registry/cache.h"

#include "base/error.h"
#include "base/log.h"
#include "base/sha256.h"
#include "registry/layout.h"

namespace gaggle {
namespace {

fs::path folder_of(const Registry& registry) { return without_links(registry.folder(), registry.folder() / "cache"); }

// A file's name is NAME@VERSION-DIGEST; nullopt: some other file, which is not ours to judge.
std::optional<Pin> version_of(const fs::path& file) {
  const std::string name = file.filename();
  const size_t end = name.rfind('-');
  if (end == std::string::npos || name.find('@') > end) return std::nullopt;
  try {
    return parse_pin(name.substr(0, end), "collection");
  } catch (const UserError&) {
    return std::nullopt;
  }
}

bool is_there(const Registry& registry, const Pin& pin) {
  return registry.find(Kind::collection, pin.text()) || registry.find(Kind::expert, pin.text());
}

}  // namespace

fs::path cache_file(const Registry& registry, const Version& version, const std::string& key) {
  return folder_of(registry) / fmt::format("{}-{}", version.pin(), sha256_hex(key).substr(0, 32));
}

std::unique_ptr<MappedFile> open_cache(const Registry& registry, const fs::path& file) {
  if (!fs::exists(fs::symlink_status(file))) return nullptr;
  try {
    auto mapped = std::make_unique<MappedFile>(without_links(registry.folder(), file));
    if (is_sealed(mapped->bytes())) return mapped;
    log::warning("{}: damaged; it is removed and made anew", file.string());
  } catch (const std::runtime_error& error) {
    log::warning("{}; it is made anew", error_text(error));
  }
  std::error_code ignored;
  fs::remove(file, ignored);
  return nullptr;
}

bool keep_in_cache(const Registry& registry, const fs::path& file, const std::string& contents) {
  try {
    std::error_code failed;
    fs::create_directory(file.parent_path(), failed);
    without_links(registry.folder(), file);
    replace_file(registry.folder(), file, sealed(contents));
    return true;
  } catch (const std::runtime_error& error) {
    log::info("{}: not kept for the next time ({})", file.string(), error_text(error));
    return false;
  }
}

void sweep_cache(const Registry& registry) {
  std::error_code ignored;
  for (const auto& entry : entries_of(folder_of(registry)))
    if (const auto pin = version_of(entry.path()); pin && !is_there(registry, *pin)) fs::remove(entry.path(), ignored);
}

std::vector<std::string> check_cache(const Registry& registry) {
  std::vector<std::string> complaints;
  for (const auto& entry : entries_of(folder_of(registry))) {
    const std::string file = entry.path().string();
    const auto pin = version_of(entry.path());
    if (entry.is_symlink() || !entry.is_regular_file() || !pin)
      complaints.push_back(file + ": no file of a cache; remove it");
    else if (!is_sealed(MappedFile(entry.path()).bytes()))
      complaints.push_back(file + ": damaged; remove it: it is made anew when it is needed");
    else if (!is_there(registry, *pin))
      complaints.push_back(file + ": of a collection or an expert that is not there any more; remove it");
  }
  return complaints;
}

}  // namespace gaggle
