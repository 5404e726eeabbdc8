// The four file operations of the lease protocol on a real file system.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "base/file.h"
#include "coordinator/lease.h"

namespace gaggle {
namespace {

void write_all(int fd, const fs::path& path, const std::string& content) {
  for (size_t done = 0; done < content.size();) {
    const ssize_t written = ::pwrite(fd, content.data() + done, content.size() - done, static_cast<off_t>(done));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) system_error("{}: cannot be written ({})", path.string(), std::strerror(errno));
    done += static_cast<size_t>(written);
  }
}

}  // namespace

bool LeaseFiles::create_exclusive(const fs::path& path, const std::string& content) {
  const Descriptor file{::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666)};
  if (file.fd < 0 && errno == EEXIST) return false;
  if (file.fd < 0) system_error("{}: cannot be made ({})", path.string(), std::strerror(errno));
  try {
    write_all(file.fd, path, content);
  } catch (const SystemError&) {
    ::unlink(path.c_str());  // nobody may take it over while it is this young, and a lease that says nothing is waited for
    throw;
  }
  return true;
}

void LeaseFiles::write_at_start(const fs::path& path, const std::string& content) {
  // Opened anew each time: on a network file system closing is what sends the bytes.
  const Descriptor file{::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW)};
  if (file.fd < 0) system_error("{}: cannot be opened ({})", path.string(), std::strerror(errno));
  write_all(file.fd, path, content);
}

std::optional<std::string> LeaseFiles::read(const fs::path& path) {
  try {
    const Descriptor file = open_to_read(path, O_NOFOLLOW);
    std::string content(4096, '\0');
    const ssize_t length = ::pread(file.fd, content.data(), content.size(), 0);
    if (length < 0) return std::nullopt;
    content.resize(static_cast<size_t>(length));
    return content;
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

std::vector<std::string> LeaseFiles::list(const fs::path& folder) {
  // A folder that cannot be read now counts as empty: the list only saves looks at generations that are known to be past.
  std::vector<std::string> names;
  std::error_code missing;
  for (const auto& entry : fs::directory_iterator(folder, missing)) names.push_back(entry.path().filename());
  return names;
}

}  // namespace gaggle
