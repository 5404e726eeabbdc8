// Pickles that would take memory out of all proportion to their size.
#include "formats/pickled_tensors.h"

#include <gmock/gmock.h>

#include "base/error.h"

namespace gaggle {
namespace {

using testing::HasSubstr;

std::string text_opcode(const std::string& value) {
  const auto count = static_cast<uint32_t>(value.size());
  return "X" + std::string(reinterpret_cast<const char*>(&count), sizeof(count)) + value;
}

// {"w": a tensor of so many dimensions over the storage `key`}
std::string pickle_of(const std::string& key, size_t dimensions) {
  std::string ones = "(";
  for (size_t i = 0; i < dimensions; ++i) ones += "K\x01";
  ones += "t";
  const std::string storage =
      "(" + text_opcode("storage") + "ctorch\nFloatStorage\n" + text_opcode(key) + text_opcode("cpu") + "K\x01tQ";
  return "\x80\x02}" + text_opcode("w") + "ctorch._utils\n_rebuild_tensor_v2\n(" + storage + "K\x01" + ones + ones +
         "tRs.";
}

std::vector<PickledTensor> tensors_of(const std::string& pickle) {
  return read_pickled_tensors(std::as_bytes(std::span(pickle)), "some.file");
}

std::string pickle_refusal(const std::string& pickle) {
  try {
    tensors_of(pickle);
  } catch (const UserError& error) {
    return error.what();
  }
  return "";
}

TEST(PickledTensors, TextsAreNotCopied) {
  const std::string key(1000, 'k'), pickle = pickle_of(key, 2);
  const auto tensors = tensors_of(pickle);
  ASSERT_EQ(tensors.size(), 1u);
  EXPECT_EQ(tensors[0].name, "w");
  EXPECT_EQ(tensors[0].storage, key);
  for (const std::string_view text : {tensors[0].name, tensors[0].storage})
    EXPECT_TRUE(text.data() > pickle.data() && text.data() < pickle.data() + pickle.size());
}

TEST(PickledTensors, NoModelIsSoLarge) {
  EXPECT_EQ(pickle_refusal(pickle_of("0", 16)), "");
  EXPECT_THAT(pickle_refusal(pickle_of("0", 17)), HasSubstr("17 dimensions"));
  EXPECT_THAT(pickle_refusal(std::string((8 << 20) + 1, ')')), HasSubstr("some.file: a pickle of 8388609 bytes"));
}

}  // namespace
}  // namespace gaggle
