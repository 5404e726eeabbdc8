#include "registry/stage.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "registry/layout.h"

namespace gaggle {
namespace {

// A directory's identity, which a rename keeps: our commit id.
std::pair<dev_t, ino_t> identity_of(const fs::path& folder) {
  struct stat info {};
  if (::stat(folder.c_str(), &info) != 0) return {0, 0};
  return {info.st_dev, info.st_ino};
}

// After the rename. Who removes the name at the same time leaves nothing to settle.
void settle(const fs::path& parent, const std::string& version) {
  try {
    fsync_folder(parent);
    fsync_folder(parent.parent_path());
    advance_current(parent);
  } catch (const std::runtime_error&) {
    if (fs::exists(parent / version)) throw;
  }
}

}  // namespace

bool rename_to_new(const fs::path& from, const fs::path& to) {
  const auto ours = identity_of(from);
  if (ours.second == 0) system_error("{}: somebody else took it away", from.string());
  int result = ::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE);
  // File systems without that flag (NFS): rename refuses a folder that is not empty, and a version never is.
  if (result != 0 && (errno == EINVAL || errno == ENOSYS || errno == ENOTSUP)) {
    if (fs::exists(fs::symlink_status(to)))
      errno = EEXIST;
    else
      result = ::rename(from.c_str(), to.c_str());
  }
  if (result == 0) return true;
  const int reason = errno;
  // A repeated request (NFS) fails although the first one did it.
  if (identity_of(to) == ours) return true;
  if (reason == EEXIST || reason == ENOTEMPTY || (reason == ENOENT && !fs::exists(to.parent_path()))) return false;
  system_error("{}: cannot be renamed to {} ({})", from.string(), to.string(), std::strerror(reason));
}

Stage::Stage(const fs::path& registry) : registry_(registry) {
  static std::atomic<int> count = 0;
  std::error_code failed;
  folder_ = open_staging(registry) / fmt::format("{}-{}", file_tag(this_process()), count++);
  if (!fs::create_directory(folder_, failed))
    system_error("{}: cannot be made ({})", folder_.string(), failed ? failed.message() : "it exists");
}

Stage::~Stage() {
  std::error_code ignored;
  if (!folder_.empty()) fs::remove_all(folder_, ignored);
}

void Stage::write(const std::string& name, std::string_view bytes) const { write_file_durable(folder_ / name, bytes); }

void Stage::link(const fs::path& file) const {
  without_links(registry_, file);
  std::error_code failed;
  fs::create_hard_link(file, folder_ / file.filename(), failed);
  if (failed) write(file.filename(), read_file(file));
}

std::optional<std::string> SameVersion::look() {
  for (const std::string& version : versions_in(parent_)) {
    if (*version_number(version) <= compared_) continue;
    compared_ = *version_number(version);
    if (!equal_(parent_ / version)) continue;
    advance_current(parent_);
    if (const auto current = current_version(parent_); current && *current != version)
      log::info("{}: {} holds the same already; CURRENT stays at the newer {}", parent_.filename().string(), version,
                *current);
    return version;
  }
  return std::nullopt;
}

std::string Stage::commit(const fs::path& parent, SameVersion& same) {
  fsync_folder(folder_);
  for (int next = 1;; ++next) {
    // Each time anew: somebody may remove the whole name at any moment.
    std::error_code failed;
    fs::create_directories(without_links(registry_, parent), failed);
    if (failed) system_error("{}: cannot be made ({})", parent.string(), failed.message());
    if (const auto found = same.look()) return *found;
    // After the look at what is there: who removes a version keeps its number first.
    next = std::max({next, same.newest() + 1, last_removed(registry_, parent) + 1});
    const std::string version = version_name(next);
    if (!version_number(version)) user_error("{}: {} is beyond the last number of a version", parent.string(), version);
    // Whoever commits in between takes this very name: theirs is looked at, and the next name tried.
    if (!rename_to_new(folder_, parent / version)) continue;
    folder_.clear();
    settle(parent, version);
    return version;
  }
}

}  // namespace gaggle
