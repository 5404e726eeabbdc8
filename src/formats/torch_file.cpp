#include "formats/torch_file.h"

#include <algorithm>
#include <map>

#include "base/error.h"
#include "formats/pickled_tensors.h"
#include "formats/zip_archive.h"

namespace gaggle {
namespace {

constexpr std::string_view pickle_entry = "/data.pkl";

const ZipEntry& pickle_of(const std::vector<ZipEntry>& entries, const std::string& file) {
  for (const ZipEntry& entry : entries)
    if (entry.name.ends_with(pickle_entry) && entry.name.find('/') + pickle_entry.size() == entry.name.size())
      return entry;
  user_error("{}: no data.pkl in it: not a file of torch.save", file);
}

// Values of the tensor; -1: it does not fit into its storage, or is strided.
int64_t dense_count(const PickledTensor& tensor) {
  const bool empty = std::ranges::find(tensor.shape, 0) != tensor.shape.end();
  int64_t count = 1;  // of the other extents where it is empty: that must not overflow either
  for (size_t i = tensor.shape.size(); i-- > 0;) {
    const int64_t n = tensor.shape[i];
    if (n < 0 || (!empty && n > 1 && tensor.stride[i] != count)) return -1;
    if (n > 0 && __builtin_mul_overflow(count, n, &count)) return -1;
  }
  if (empty) return 0;
  return count <= tensor.storage_count ? count : -1;
}

}  // namespace

TorchFile::TorchFile(const std::filesystem::path& path) : TensorFile(path) { parse(); }

TorchFile::TorchFile(std::span<const std::byte> bytes, std::string name) : TensorFile(bytes, std::move(name)) {
  parse();
}

void TorchFile::parse() {
  const std::string& file = name();
  const std::vector<ZipEntry> entries = read_zip(bytes(), file);
  const ZipEntry& pickle = pickle_of(entries, file);
  const std::string root = pickle.name.substr(0, pickle.name.size() - pickle_entry.size());
  std::map<std::string, std::span<const std::byte>> by_name;
  for (const ZipEntry& entry : entries) by_name[entry.name] = entry.bytes;
  if (const auto order = by_name.find(root + "/byteorder"); order != by_name.end()) {
    const std::string_view text(reinterpret_cast<const char*>(order->second.data()), order->second.size());
    if (text != "little") user_error("{}: its values are {}-endian; little-endian ones are read", file, text);
  }
  std::map<std::string_view, PickledTensor> first_of;  // by storage
  for (const PickledTensor& tensor : read_pickled_tensors(pickle.bytes, file)) {
    const auto entry = by_name.find(root + "/data/" + std::string(tensor.storage));
    if (entry == by_name.end()) user_error("{}: {}: its storage {} is missing", file, tensor.name, tensor.storage);
    const auto width = static_cast<int64_t>(size_of(tensor.dtype));
    const auto stored = static_cast<int64_t>(entry->second.size());
    if (stored / width != tensor.storage_count || stored % width != 0)
      user_error("{}: {}: its storage has {} bytes, not {} values", file, tensor.name, stored, tensor.storage_count);
    const int64_t count = tensor.shape.size() == tensor.stride.size() ? dense_count(tensor) : -1;
    if (count < 0 || tensor.offset < 0 || tensor.offset > tensor.storage_count - count)
      user_error("{}: {} is strided, or larger than its storage: save it with .contiguous()", file, tensor.name);
    const auto [first, is_new] = first_of.try_emplace(tensor.storage, tensor);
    const PickledTensor& other = first->second;
    if (!is_new && (other.offset != tensor.offset || other.shape != tensor.shape || other.dtype != tensor.dtype))
      user_error("{}: {} and {} share parts of one storage: save them as clones", file, other.name, tensor.name);
    add({std::string(tensor.name), tensor.dtype, tensor.shape,
         entry->second.subspan(static_cast<size_t>(tensor.offset * width), static_cast<size_t>(count * width))});
  }
}

}  // namespace gaggle
