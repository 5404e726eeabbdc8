// Every file kept in tests/fuzz/corpus_* is read or refused as a UserError; what is named valid is read.
#include <gtest/gtest.h>

#include "base/error.h"
#include "formats/gguf.h"
#include "formats/safetensors.h"
#include "formats/torch_file.h"

namespace gaggle {
namespace {

// Reads every file of a corpus with all its tensors; returns how many were read to their end.
template <class Read>
int replay(const std::string& corpus, Read read) {
  int good = 0;
  for (const auto& entry : fs::directory_iterator(fs::path(GAGGLE_SOURCE_DIR) / "tests/fuzz" / corpus)) {
    SCOPED_TRACE(entry.path().string());
    bool accepted = false;
    try {
      read(entry.path());
      accepted = true;
    } catch (const UserError& error) {
      EXPECT_NE(std::string(error.what()), "");
    }
    if (entry.path().filename().string().starts_with("valid")) {
      EXPECT_TRUE(accepted);
    }
    good += accepted;
  }
  return good;
}

TEST(FuzzFinds, Safetensors) {
  EXPECT_GE(replay("corpus_safetensors", [](const fs::path& path) { const SafetensorsFile file(path); }), 1);
}

TEST(FuzzFinds, TorchFile) {
  EXPECT_EQ(replay("corpus_torch_file",
                   [](const fs::path& path) {
                     const TorchFile file(path);
                     for (const TensorView& tensor : file.tensors()) EXPECT_GE(tensor.count(), 0);
                   }),
            2);
}

TEST(FuzzFinds, Gguf) {
  EXPECT_GE(replay("corpus_gguf",
                   [](const fs::path& path) {
                     const GgufFile file(path);
                     for (const GgufTensor& tensor : file.tensors()) {
                       std::vector<float> values(static_cast<size_t>(tensor.count()));
                       dequantize(tensor.type, tensor.bytes, values);
                     }
                   }),
            1);
}

}  // namespace
}  // namespace gaggle
