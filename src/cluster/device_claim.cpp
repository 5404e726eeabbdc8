#include "cluster/device_claim.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

namespace gaggle {
namespace {

// Not O_CREAT where it is there: a system may refuse that for another user's file in a folder for all.
int open_lock(const std::filesystem::path& file) {
  const int there = ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (there >= 0 || errno != ENOENT) return there;
  const int made = ::open(file.c_str(), O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (made >= 0) ::fchmod(made, 0644);
  return made;
}

}  // namespace

std::optional<size_t> claim_device(const std::vector<std::string>& uuids) {
  for (size_t device = 0; device < uuids.size(); ++device) {
    if (uuids[device].empty()) return device;
    std::error_code none;
    const int lock = open_lock(std::filesystem::temp_directory_path(none) / ("gaggle-" + uuids[device] + ".lock"));
    if (lock < 0) return device;
    if (::flock(lock, LOCK_EX | LOCK_NB) == 0) return device;  // open until the process ends: that is the claim
    const bool held = errno == EWOULDBLOCK;
    ::close(lock);
    if (!held) return device;
  }
  return std::nullopt;
}

}  // namespace gaggle
