// The four file operations of the lease protocol on a real file system. A pipe of a lease's name is refused, not waited
// for (O_NONBLOCK).
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
  write_all(file.fd, path, content);
  return true;
}

void LeaseFiles::write_at_start(const fs::path& path, const std::string& content) {
  // Opened anew each time: on a network file system closing is what sends the bytes.
  const Descriptor file{::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)};
  if (file.fd < 0) system_error("{}: cannot be opened ({})", path.string(), std::strerror(errno));
  write_all(file.fd, path, content);
}

std::optional<std::string> LeaseFiles::read(const fs::path& path) {
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)};
  if (file.fd < 0) return std::nullopt;
  std::string content(4096, '\0');
  const ssize_t length = ::pread(file.fd, content.data(), content.size(), 0);
  if (length < 0) return std::nullopt;
  content.resize(static_cast<size_t>(length));
  return content;
}

std::vector<std::string> LeaseFiles::list(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code missing;
  for (const auto& entry : fs::directory_iterator(folder, missing)) names.push_back(entry.path().filename());
  return names;
}

}  // namespace gaggle
