// Files of torch.save that hold a dictionary of tensors (pytorch_model.bin): a zip archive with a pickle,
// data.pkl, and one entry of raw values per storage. Nothing in it is executed.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "formats/tensor.h"

namespace gaggle {

class TorchFile {
 public:
  // Maps and checks the file. Throws UserError naming it and what is wrong: not of this form (also the one
  // before torch 1.6), torn, strided tensors, tensors that share a part of a storage, storages of another size,
  // big-endian. Two names of one and the same tensor are fine.
  explicit TorchFile(const std::filesystem::path& path);
  // The same from memory, which must outlive this; `name` stands in messages.
  TorchFile(std::span<const std::byte> bytes, std::string name);
  const std::vector<TensorView>& tensors() const { return tensors_; }  // in the dictionary's order
  const TensorView* find(std::string_view name) const;                 // nullptr: not there
  const std::string& name() const { return name_; }

 private:
  void parse(std::span<const std::byte> bytes);

  std::unique_ptr<MappedFile> file_;
  std::string name_;
  std::vector<TensorView> tensors_;
  std::map<std::string, size_t, std::less<>> index_;
};

}  // namespace gaggle
