#include "base/file_system.h"

#include <fmt/format.h>
#include <sys/vfs.h>

#include <array>

namespace gaggle {
namespace fs = std::filesystem;
namespace {

struct Known {
  unsigned long magic;
  const char* name;
  Reach reach;
  bool in_memory = false;
};

constexpr std::array known = {
    Known{0x6969, "NFS", Reach::hosts},
    Known{0x0BD00BD0, "Lustre", Reach::hosts},
    Known{0x47504653, "GPFS", Reach::hosts},
    Known{0x19830326, "BeeGFS", Reach::hosts},
    Known{0x00C36400, "Ceph", Reach::hosts},
    Known{0xAAD7AAEA, "PanFS", Reach::hosts},
    Known{0x20030528, "OrangeFS", Reach::hosts},
    Known{0x01161970, "GFS2", Reach::hosts},
    Known{0x7461636F, "OCFS2", Reach::hosts},
    Known{0x5346414F, "AFS", Reach::hosts},
    Known{0x6B414653, "AFS", Reach::hosts},
    Known{0x517B, "SMB", Reach::hosts},
    Known{0xFF534D42, "CIFS", Reach::hosts},
    Known{0xFE534D42, "SMB2", Reach::hosts},
    Known{0x65735546, "FUSE", Reach::perhaps},
    Known{0x01021997, "9p", Reach::perhaps},
    Known{0x786F4256, "VirtualBox folder", Reach::perhaps},
    Known{0xBACBACBC, "VMware folder", Reach::perhaps},
    Known{0xEF53, "ext4", Reach::host},
    Known{0x58465342, "XFS", Reach::host},
    Known{0x9123683E, "btrfs", Reach::host},
    Known{0x2FC12FC1, "ZFS", Reach::host},
    Known{0xCA451A4E, "bcachefs", Reach::host},
    Known{0xF2F52010, "F2FS", Reach::host},
    Known{0x3153464A, "JFS", Reach::host},
    Known{0x4D44, "FAT", Reach::host},
    Known{0x2011BAB0, "exFAT", Reach::host},
    Known{0x5346544E, "NTFS", Reach::host},
    Known{0x73717368, "squashfs", Reach::host},
    Known{0xE0F5E1E2, "EROFS", Reach::host},
    Known{0x794C7630, "overlay", Reach::host},
    Known{0x01021994, "tmpfs", Reach::host, true},
    Known{0x858458F6, "ramfs", Reach::host, true},
    Known{0x9FA0, "proc", Reach::host, true},
    Known{0x62656572, "sysfs", Reach::host, true},
};

}  // namespace

FileSystem file_system_of_magic(unsigned long magic) {
  for (const Known& kind : known)
    if (kind.magic == magic) return {kind.name, kind.reach, kind.in_memory};
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

FileAccess access_of(const FileSystem& system) {
  return system.reach == Reach::host ? FileAccess::mapped : FileAccess::in_order;
}

}  // namespace gaggle
