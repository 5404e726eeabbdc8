// Zip archives of entries stored as they are (PKWARE's APPNOTE 6.3, with zip64 records), as torch.save writes.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace gaggle {

struct ZipEntry {
  std::string name;  // "archive/data.pkl"
  std::span<const std::byte> bytes;
};

// Entries in the order of the central directory. Throws UserError naming `file`: torn, compressed or encrypted,
// two entries of one name, entries outside the file or over each other.
std::vector<ZipEntry> read_zip(std::span<const std::byte> bytes, const std::string& file);

}  // namespace gaggle
