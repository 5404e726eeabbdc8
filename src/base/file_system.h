// What kind of file system a path lies on, and so how files there are read.
#pragma once

#include <filesystem>
#include <string>

namespace gaggle {

// Who may see the files: this host alone, other hosts too, or as the kind cannot tell (FUSE) perhaps.
enum class Reach { host, hosts, perhaps };

struct FileSystem {
  std::string name;  // "NFS", "ext4"; "file system 0x1234" of a kind that is not in our list
  Reach reach = Reach::host;
  bool in_memory = false;  // gone when the machine restarts
};

// The path, or the nearest folder above it that exists; absolute.
std::filesystem::path nearest_existing(const std::filesystem::path& path);

// By statfs's f_type (Linux, include/uapi/linux/magic.h, and the makers' own sources).
FileSystem file_system_of_magic(unsigned long magic);
// The file system of the path, or of the nearest folder above it that exists.
FileSystem file_system_of(const std::filesystem::path& path);

}  // namespace gaggle
