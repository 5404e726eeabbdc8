#include "formats/zip_archive.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <set>

#include "base/error.h"

namespace gaggle {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr uint32_t end_signature = 0x06054b50, end64_signature = 0x06064b50, locator64_signature = 0x07064b50;
constexpr uint32_t directory_signature = 0x02014b50, local_signature = 0x04034b50;
constexpr uint64_t end_size = 22, locator64_size = 20, directory_size = 46, local_size = 30;
constexpr uint64_t longest_comment = 65535;

struct Archive {
  std::span<const std::byte> bytes;
  const std::string& file;

  std::span<const std::byte> part(uint64_t offset, uint64_t count) const {
    if (offset > bytes.size() || count > bytes.size() - offset)
      user_error("{}: torn: its archive speaks of byte {}, the file has {}", file, offset + count, bytes.size());
    return bytes.subspan(offset, count);
  }
  template <class T>
  T number(uint64_t offset) const {
    T value;
    std::memcpy(&value, part(offset, sizeof(T)).data(), sizeof(T));
    return value;
  }
  std::string text(uint64_t offset, uint64_t count) const {
    return {reinterpret_cast<const char*>(part(offset, count).data()), count};
  }
};

struct Directory {
  uint64_t offset = 0, entries = 0;
};

Directory find_directory(const Archive& in) {
  const uint64_t size = in.bytes.size();
  const uint64_t least = size > end_size + longest_comment ? size - end_size - longest_comment : 0;
  for (uint64_t at = size >= end_size ? size - end_size + 1 : 0; at-- > least;) {
    if (in.number<uint32_t>(at) != end_signature) continue;
    Directory directory{in.number<uint32_t>(at + 16), in.number<uint16_t>(at + 10)};
    if (at >= locator64_size && in.number<uint32_t>(at - locator64_size) == locator64_signature) {
      const auto end64 = in.number<uint64_t>(at - locator64_size + 8);
      if (in.number<uint32_t>(end64) != end64_signature) user_error("{}: torn zip64 record", in.file);
      directory = {in.number<uint64_t>(end64 + 48), in.number<uint64_t>(end64 + 32)};
    }
    return directory;
  }
  user_error("{}: no zip archive, or torn at its end", in.file);
}

// The 64-bit sizes and offset of an entry whose 32-bit ones are full.
void read_extra64(const Archive& in, uint64_t begin, uint64_t length, uint64_t& plain, uint64_t& stored,
                  uint64_t& offset) {
  for (uint64_t at = begin; at + 4 <= begin + length;) {
    const auto id = in.number<uint16_t>(at);
    const uint64_t field = at + 4;
    at = field + in.number<uint16_t>(at + 2);
    if (id != 1) continue;
    uint64_t next = field;
    for (uint64_t* value : {&plain, &stored, &offset}) {
      if (*value != 0xffffffff) continue;
      if (next + 8 > at) user_error("{}: torn zip64 field", in.file);
      *value = in.number<uint64_t>(next);
      next += 8;
    }
  }
}

}  // namespace

std::vector<ZipEntry> read_zip(std::span<const std::byte> bytes, const std::string& file) {
  const Archive in{bytes, file};
  const Directory directory = find_directory(in);
  std::vector<ZipEntry> entries;
  std::set<std::string> names;
  std::vector<std::pair<uint64_t, uint64_t>> places;  // begin and end of each
  uint64_t at = directory.offset;
  for (uint64_t i = 0; i < directory.entries; ++i) {
    if (in.number<uint32_t>(at) != directory_signature)
      user_error("{}: torn: entry {} of its directory is missing", file, i + 1);
    const auto flags = in.number<uint16_t>(at + 8), method = in.number<uint16_t>(at + 10);
    const uint64_t name_length = in.number<uint16_t>(at + 28), extra_length = in.number<uint16_t>(at + 30),
                   comment_length = in.number<uint16_t>(at + 32);
    uint64_t stored = in.number<uint32_t>(at + 20), plain = in.number<uint32_t>(at + 24),
             offset = in.number<uint32_t>(at + 42);
    const std::string name = in.text(at + directory_size, name_length);
    read_extra64(in, at + directory_size + name_length, extra_length, plain, stored, offset);
    at += directory_size + name_length + extra_length + comment_length;
    if (flags & 1) user_error("{}: entry {} is encrypted", file, name);
    if (method != 0 || plain != stored)
      user_error("{}: entry {} is compressed; torch.save stores entries as they are", file, name);
    if (!names.insert(name).second) user_error("{}: two entries are named {}", file, name);
    if (in.number<uint32_t>(offset) != local_signature)
      user_error("{}: torn: entry {} is not where the directory says", file, name);
    const uint64_t begin = offset + local_size + in.number<uint16_t>(offset + 26) + in.number<uint16_t>(offset + 28);
    entries.push_back({name, in.part(begin, stored)});
    places.emplace_back(offset, begin + stored);
  }
  std::ranges::sort(places);
  for (size_t i = 1; i < places.size(); ++i)
    if (places[i].first < places[i - 1].second) user_error("{}: entries lie over each other", file);
  return entries;
}

}  // namespace gaggle
