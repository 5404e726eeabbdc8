#include "base/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <tuple>

#include "base/error.h"
#include "base/process.h"

namespace gaggle {
namespace {

// Asked before there are threads: umask() can only be read by setting it.
const mode_t hidden_from_others = [] {
  const mode_t mask = ::umask(077);
  ::umask(mask);
  return mask;
}();

std::string reason() { return std::strerror(errno); }

// By the system's last error.
[[noreturn]] void cannot_be_read(const fs::path& path) {
  if (errno == ENOENT || is_the_users({errno, std::generic_category()}))
    user_error("{}: cannot be read ({})", path.string(), reason());
  system_error("{}: cannot be read ({})", path.string(), reason());
}

// From begin to end in pieces that a network file system takes in one stream of requests.
void read_in_order(int fd, const fs::path& path, std::span<std::byte> bytes) {
  constexpr size_t piece = size_t{16} << 20;
  ::posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
  while (!bytes.empty()) {
    const ssize_t got = ::read(fd, bytes.data(), std::min(piece, bytes.size()));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) system_error("{}: cannot be read to its end ({})", path.string(), reason());
    if (got == 0) user_error("{}: cannot be read to its end (it became shorter)", path.string());
    bytes = bytes.subspan(static_cast<size_t>(got));
  }
}

// What a clone without git-lfs leaves in place of a file: a text of some 130 bytes that says where it lies.
constexpr size_t longest_pointer = 1024;
void refuse_pointer(const fs::path& path, std::string_view bytes) {
  if (bytes.size() <= longest_pointer && bytes.starts_with("version https://git-lfs.github.com/spec/"))
    user_error("{}: this is a Git LFS pointer, not the file itself: run git lfs pull in its folder", path.string());
}

size_t size_of(const Descriptor& file, const fs::path& path) {
  struct stat info {};
  if (::fstat(file.fd, &info) != 0) cannot_be_read(path);
  return static_cast<size_t>(info.st_size);
}

}  // namespace

Descriptor::~Descriptor() {
  if (fd >= 0) ::close(fd);
}

Descriptor open_to_read(const fs::path& path, int flags) {
  flags |= O_RDONLY | O_CLOEXEC | O_NOCTTY;
  // Opening a pipe would wait for somebody who writes.
  int opened = ::open(path.c_str(), flags | O_NONBLOCK);
  // A file that this host serves to others (NFS, Samba) may have to be given back first: that is waited for.
  if (std::error_code gone; opened < 0 && errno == EWOULDBLOCK && fs::is_regular_file(path, gone))
    opened = ::open(path.c_str(), flags);
  Descriptor file(opened);
  struct stat info {};
  if (file.fd < 0 || ::fstat(file.fd, &info) != 0) cannot_be_read(path);
  if (!S_ISREG(info.st_mode))
    user_error("{}: cannot be read: {} is not a file", path.string(),
               S_ISDIR(info.st_mode)    ? "a folder"
               : S_ISFIFO(info.st_mode) ? "a pipe"
                                        : "a device");
  return file;
}

fs::directory_iterator entries_of(const fs::path& folder) {
  std::error_code failed;
  fs::directory_iterator entries(folder, failed);
  if (failed && failed != std::errc::no_such_file_or_directory && failed != std::errc::not_a_directory)
    system_error("{}: cannot be read ({})", folder.string(), failed.message());
  return entries;
}

std::string read_file(const fs::path& path, size_t from) {
  const Descriptor file = open_to_read(path);
  const size_t size = size_of(file, path);
  if (size <= from) return "";
  std::string bytes(size - from, '\0');
  if (from > 0 && ::lseek(file.fd, static_cast<off_t>(from), SEEK_SET) < 0) cannot_be_read(path);
  read_in_order(file.fd, path, std::as_writable_bytes(std::span(bytes)));
  refuse_pointer(path, bytes);
  return bytes;
}

void write_file_durable(const fs::path& path, std::string_view bytes) {
  ::unlink(path.c_str());
  const Descriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (file.fd < 0) system_error("{}: cannot be written ({})", path.string(), reason());
  const auto fail = [&](const char* what) {
    const std::string why = reason();
    ::unlink(path.c_str());  // nothing half-written is left behind
    system_error("{}: {} ({})", path.string(), what, why);
  };
  while (!bytes.empty()) {
    ssize_t written = ::write(file.fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) fail("cannot be written");
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  std::ignore = ::fchmod(file.fd, 0666 & ~hidden_from_others);  // some file systems know no modes
  if (::fsync(file.fd) != 0) fail("fsync failed");
}

fs::path make_folder_beside(const fs::path& path) {
  std::string name = path.string() + ".part-XXXXXX";
  if (!::mkdtemp(name.data())) system_error("{}: cannot be made ({})", name, reason());
  return name;
}

void open_folder_to_others(const fs::path& folder) {
  std::ignore = ::chmod(folder.c_str(), 0777 & ~hidden_from_others);
}

void write_file_atomic(const fs::path& path, std::string_view bytes, const fs::path& staging) {
  // Writers on other hosts may have our pid, and threads share it.
  static std::atomic<int> count = 0;
  const std::string ours = fmt::format("{}-{}.part", file_tag(this_process()), count++);
  const fs::path written = staging.empty() ? fs::path(path.string() + "." + ours) : staging / ours;
  write_file_durable(written, bytes);
  std::error_code failed;
  fs::rename(written, path, failed);
  if (failed) {
    fs::remove(written);
    system_error("{}: cannot be renamed into place ({})", path.string(), failed.message());
  }
  fsync_folder(path.parent_path());
}

void fsync_folder(const fs::path& folder) {
  const Descriptor opened(::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (opened.fd < 0) system_error("{}: cannot be opened ({})", folder.string(), reason());
  if (::fsync(opened.fd) != 0 && errno != EINVAL) system_error("{}: fsync failed ({})", folder.string(), reason());
}

void check_writable(const fs::path& folder, std::string_view option) {
  const fs::path nearest = nearest_existing(folder);
  std::error_code unreadable;
  if (!fs::is_directory(nearest, unreadable))
    user_error("{}: the folder {} cannot be made ({} is not a folder); name another one", option, folder.string(),
               nearest.string());
  if (::access(nearest.c_str(), W_OK | X_OK) != 0)
    user_error("{}: the folder {} cannot be written to ({}: {}); name another one", option, folder.string(),
               nearest.string(), reason());
}

void require_writable(const fs::path& folder, std::string_view option) {
  check_writable(folder, option);
  std::error_code failed;
  fs::create_directories(folder, failed);
  if (!failed) return;
  if (is_the_users(failed))
    user_error("{}: the folder {} cannot be made ({}); name another one", option, folder.string(), failed.message());
  system_error("{}: the folder {} cannot be made ({})", option, folder.string(), failed.message());
}

MappedFile::MappedFile(const fs::path& path) : MappedFile(path, file_system_of(path).reach) {}

MappedFile::MappedFile(const fs::path& path, Reach reach) : path_(path) {
  const Descriptor file = open_to_read(path);
  const size_t size = size_of(file, path);
  if (size == 0) return;
  if (reach != Reach::host || size <= longest_pointer) {
    copy_ = std::make_unique_for_overwrite<std::byte[]>(size);
    read_in_order(file.fd, path, {copy_.get(), size});
    bytes_ = {copy_.get(), size};
    refuse_pointer(path, {reinterpret_cast<const char*>(copy_.get()), size});
    return;
  }
  void* start = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.fd, 0);
  if (start == MAP_FAILED) system_error("{}: cannot be mapped ({})", path.string(), reason());
  bytes_ = {static_cast<const std::byte*>(start), size};
}

void MappedFile::let_go() const {
  if (!copy_ && !bytes_.empty()) ::madvise(const_cast<std::byte*>(bytes_.data()), bytes_.size(), MADV_DONTNEED);
}

MappedFile::~MappedFile() {
  if (!copy_ && !bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

}  // namespace gaggle
