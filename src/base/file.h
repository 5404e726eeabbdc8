// Files that are there whole or not at all, and reading them back.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/file_system.h"

namespace gaggle {

namespace fs = std::filesystem;

// An open file, closed at the end.
struct Descriptor {
  int fd = -1;
  explicit Descriptor(int opened) : fd(opened) {}
  Descriptor(Descriptor&& other) noexcept : fd(std::exchange(other.fd, -1)) {}
  Descriptor& operator=(Descriptor&&) = delete;
  ~Descriptor();
};

// Every file is opened to be read by this. What is no plain file (a pipe, a device, a folder) could keep us waiting for
// good: it throws UserError, as whatever is not there or may not be read; SystemError where the disk or the network fails.
// `flags`: O_NOFOLLOW or none.
Descriptor open_to_read(const fs::path& path, int flags = 0);

// None where there is no such folder. One that cannot be read is not an empty one: SystemError.
fs::directory_iterator entries_of(const fs::path& folder);

// The whole file, or what stands behind its first `from` bytes. Throws as open_to_read does, and UserError if it is a Git
// LFS pointer in place of the file.
std::string read_file(const fs::path& path, size_t from = 0);

// Writes beside `path`, or in the folder `staging` of the same file system, fsyncs, renames onto `path`, fsyncs the folder.
// Readers see the old file or the new one. What a killed process leaves is called NAME.TAG-N.part beside, or TAG-N.part in
// `staging` (TAG: file_tag). Throws SystemError with the path and the system's reason.
void write_file_atomic(const fs::path& path, std::string_view bytes, const fs::path& staging = {});

// Writes and fsyncs a new file, in place of whatever has that name; nothing is written through a link, and others cannot
// read it before it is whole. For files in a staging folder that nobody reads before the folder is renamed.
void write_file_durable(const fs::path& path, std::string_view bytes);

// A new empty folder, called NAME.part-XXXXXX beside `path`, which nobody else can look into.
fs::path make_folder_beside(const fs::path& path);
// Lets others read a folder as the umask says: before it is renamed into place.
void open_folder_to_others(const fs::path& folder);

void fsync_folder(const fs::path& folder);

// Checks that files could be made in `folder`, which need not be there yet; makes nothing.
// Throws UserError naming `option`; making it, SystemError where the disk fails.
void check_writable(const fs::path& folder, std::string_view option);
// Checks, then makes `folder`.
void require_writable(const fs::path& folder, std::string_view option);

// A whole file's bytes, to be read only. A page of a mapped file is fetched when it is touched: many small
// requests in no order on a network file system, and SIGBUS where the server or the file goes away. So only
// files of this host are mapped; others, and small ones, are read into memory once, in order, in big pieces.
class MappedFile {
 public:
  explicit MappedFile(const fs::path& path);  // throws as read_file does
  MappedFile(const fs::path& path, Reach reach);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  std::span<const std::byte> bytes() const { return bytes_; }
  const fs::path& path() const { return path_; }
  // Pages that were read are given back; who reads on reads them anew.
  void let_go() const;

 private:
  fs::path path_;
  std::span<const std::byte> bytes_;
  std::unique_ptr<std::byte[]> copy_;  // not mapped
};

}  // namespace gaggle
