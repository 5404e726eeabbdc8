#include "base/file_system.h"

#include <fmt/format.h>
#include <sys/vfs.h>

#include <map>

namespace gaggle {
namespace fs = std::filesystem;

FileSystem file_system_of_magic(unsigned long magic) {
  static const std::map<unsigned long, FileSystem> known = {
      {0x6969, {"NFS", Reach::hosts}},
      {0x0BD00BD0, {"Lustre", Reach::hosts}},
      {0x47504653, {"GPFS", Reach::hosts}},
      {0x19830326, {"BeeGFS", Reach::hosts}},
      {0x00C36400, {"Ceph", Reach::hosts}},
      {0xAAD7AAEA, {"PanFS", Reach::hosts}},
      {0x20030528, {"OrangeFS", Reach::hosts}},
      {0x01161970, {"GFS2", Reach::hosts}},
      {0x7461636F, {"OCFS2", Reach::hosts}},
      {0x5346414F, {"AFS", Reach::hosts}},
      {0x6B414653, {"AFS", Reach::hosts}},
      {0x517B, {"SMB", Reach::hosts}},
      {0xFF534D42, {"CIFS", Reach::hosts}},
      {0xFE534D42, {"SMB2", Reach::hosts}},
      {0x65735546, {"FUSE", Reach::perhaps}},
      {0x01021997, {"9p", Reach::perhaps}},
      {0x786F4256, {"VirtualBox folder", Reach::perhaps}},
      {0xBACBACBC, {"VMware folder", Reach::perhaps}},
      {0xEF53, {"ext4", Reach::host}},
      {0x58465342, {"XFS", Reach::host}},
      {0x9123683E, {"btrfs", Reach::host}},
      {0x2FC12FC1, {"ZFS", Reach::host}},
      {0xCA451A4E, {"bcachefs", Reach::host}},
      {0xF2F52010, {"F2FS", Reach::host}},
      {0x3153464A, {"JFS", Reach::host}},
      {0x4D44, {"FAT", Reach::host}},
      {0x2011BAB0, {"exFAT", Reach::host}},
      {0x5346544E, {"NTFS", Reach::host}},
      {0x73717368, {"squashfs", Reach::host}},
      {0xE0F5E1E2, {"EROFS", Reach::host}},
      {0x794C7630, {"overlay", Reach::host}},
      {0x01021994, {"tmpfs", Reach::host, true}},
      {0x858458F6, {"ramfs", Reach::host, true}},
      {0x9FA0, {"proc", Reach::host, true}},
      {0x62656572, {"sysfs", Reach::host, true}},
  };
  const auto found = known.find(magic);
  if (found != known.end()) return found->second;
  return {fmt::format("file system 0x{:X}", magic), Reach::perhaps};
}

fs::path nearest_existing(const fs::path& path) {
  fs::path nearest = fs::absolute(path).lexically_normal();
  std::error_code unreadable;
  while (!fs::exists(nearest, unreadable) && nearest.has_relative_path()) nearest = nearest.parent_path();
  return nearest;
}

FileSystem file_system_of(const fs::path& path) {
  struct statfs info {};
  ::statfs(nearest_existing(path).c_str(), &info);
  // f_type is signed where it is 32 bits wide.
  return file_system_of_magic(static_cast<unsigned long>(info.f_type) & 0xFFFFFFFFUL);
}

}  // namespace gaggle
