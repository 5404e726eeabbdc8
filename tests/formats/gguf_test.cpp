// GGUF: metadata and tensors of a file made here, and every damage refused with its reason.
#include "formats/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "base/error.h"
#include "formats/model_files.h"
#include "refusal.h"

namespace gaggle {
namespace {

struct Writer {
  std::string bytes;
  template <class T>
  Writer& raw(T value) {
    bytes.append(reinterpret_cast<const char*>(&value), sizeof(value));
    return *this;
  }
  Writer& text(const std::string& value) {
    raw(uint64_t{value.size()});
    bytes += value;
    return *this;
  }
};

struct Tensor {
  std::string name = "t";
  std::vector<uint64_t> dims = {2, 3};
  uint32_t type = 0;
  uint64_t offset = 0;
};

std::string file_of(const std::vector<Tensor>& tensors, size_t data_bytes) {
  Writer w;
  w.bytes = "GGUF";
  w.raw(uint32_t{3}).raw(uint64_t{tensors.size()}).raw(uint64_t{6});
  w.text("a.text").raw(uint32_t{8}).text("hello");
  w.text("a.count").raw(uint32_t{4}).raw(uint32_t{7});
  w.text("a.number").raw(uint32_t{6}).raw(0.5f);
  w.text("a.flag").raw(uint32_t{7}).raw(uint8_t{1});
  w.text("a.ints").raw(uint32_t{9}).raw(uint32_t{5}).raw(uint64_t{3}).raw(int32_t{1}).raw(int32_t{-2}).raw(int32_t{3});
  w.text("a.texts").raw(uint32_t{9}).raw(uint32_t{8}).raw(uint64_t{2}).text("x").text("");
  for (const Tensor& t : tensors) {
    w.text(t.name).raw(static_cast<uint32_t>(t.dims.size()));
    for (uint64_t dim : t.dims) w.raw(dim);
    w.raw(t.type).raw(t.offset);
  }
  w.bytes.resize((w.bytes.size() + 31) / 32 * 32, '\0');
  w.bytes.append(data_bytes, '\0');
  return w.bytes;
}

TEST(Gguf, ReadsMetadataByType) {
  const std::string bytes = file_of({Tensor{}}, 24);
  const GgufFile file(std::as_bytes(std::span(bytes)), "some.gguf");
  EXPECT_EQ(file.text("a.text"), "hello");
  EXPECT_EQ(file.integer("a.count"), 7);
  EXPECT_EQ(file.number("a.number"), 0.5);
  EXPECT_EQ(file.number("a.count"), 7.0);
  EXPECT_TRUE(file.flag("a.flag"));
  EXPECT_EQ(file.integers("a.ints"), (std::vector<int64_t>{1, -2, 3}));
  EXPECT_EQ(file.numbers("a.ints"), (std::vector<double>{1, -2, 3}));
  EXPECT_EQ(file.texts("a.texts"), (std::vector<std::string>{"x", ""}));
  EXPECT_EQ(file.integer_or("b", 5), 5);
  EXPECT_THROW(file.text("a.count"), UserError);
  EXPECT_THROW(file.integer("b"), UserError);
  EXPECT_THROW(file.text_or("a.count", ""), UserError);
  ASSERT_NE(file.find("t"), nullptr);
  EXPECT_EQ(file.find("t")->shape, (std::vector<int64_t>{3, 2}));
}

TEST(Gguf, EveryTruncationIsRefused) {
  const std::string bytes = file_of({Tensor{}, Tensor{"u", {256}, 14, 32}}, 32 + 210);
  EXPECT_EQ(refusal<GgufFile>(bytes), "");
  for (size_t length = 0; length < bytes.size(); ++length)
    EXPECT_THAT(refusal<GgufFile>(bytes.substr(0, length)), testing::HasSubstr("some.file")) << length;
}

TEST(Gguf, RefusesDamage) {
  using testing::HasSubstr;
  const auto tensor = [](Tensor t) { return refusal<GgufFile>(file_of({t}, 64)); };
  EXPECT_THAT(tensor({"t", {}, 0, 0}), HasSubstr("0 dimensions"));
  EXPECT_THAT(tensor({"t", {1ull << 33, 1ull << 33}, 0, 0}), HasSubstr("impossible shape"));
  EXPECT_THAT(tensor({"t", {0, 1ull << 40, 1ull << 40}, 0, 0}), HasSubstr("impossible shape"));
  EXPECT_THAT(tensor({"t", {1ull << 50}, 0, 0}), HasSubstr("truncated"));
  EXPECT_THAT(tensor({"t", {2}, 16, 0}), HasSubstr("type IQ2_XXS"));
  EXPECT_THAT(tensor({"t", {2}, 999, 0}), HasSubstr("number 999"));
  EXPECT_THAT(tensor({"t", {33}, 2, 0}), HasSubstr("multiple of 32"));
  EXPECT_THAT(tensor({"t", {2}, 0, 8}), HasSubstr("alignment"));
  EXPECT_THAT(tensor({"t", {2}, 0, ~0ull}), HasSubstr("truncated"));
  EXPECT_THAT(refusal<GgufFile>(file_of({Tensor{"a", {16}, 0, 0}, Tensor{"b", {2}, 0, 32}}, 64)), HasSubstr("overlap"));
  EXPECT_THAT(refusal<GgufFile>(file_of({Tensor{}, Tensor{}}, 64)), HasSubstr("twice"));
  std::string bytes = file_of({Tensor{}}, 24);
  bytes[4] = 1;
  EXPECT_THAT(refusal<GgufFile>(bytes), HasSubstr("version 1"));
  bytes.replace(4, 4, std::string("\0\0\0\3", 4));
  EXPECT_THAT(refusal<GgufFile>(bytes), HasSubstr("big-endian"));
  bytes = file_of({Tensor{}}, 24);
  bytes.replace(8, 8, std::string(8, '\x7f'));
  EXPECT_THAT(refusal<GgufFile>(bytes), HasSubstr("number of tensors"));
  EXPECT_THAT(refusal<GgufFile>("PK\3\4 and so on"), HasSubstr("no GGUF file"));
}

TEST(RopeFactors, ScalingComesBackFromItsFactors) {
  const std::vector<RopeScaling> scalings{
      {"llama3", 8, 1, 4, 8192}, {"llama3", 32, 1, 4, 8192}, {"llama3", 8, 1, 3, 256}, {"llama3", 4, 1, 16, 2048}};
  for (const RopeScaling& scaling : scalings) {
    const auto expected = llama3_factors(scaling, 500000, 128);
    const std::vector<float> stored(expected.begin(), expected.end());
    const RopeScaling found = rope_scaling_of_factors(stored, 500000, "some.gguf");
    EXPECT_EQ(found.type, "llama3");
    EXPECT_EQ(found.original_max_position, scaling.original_max_position);
    EXPECT_NEAR(found.high_freq_factor, scaling.high_freq_factor, 1e-4);
    const auto again = llama3_factors(found, 500000, 128);
    for (size_t i = 0; i < again.size(); ++i) EXPECT_NEAR(again[i], expected[i], 1e-5 * expected[i]);
  }
  EXPECT_EQ(rope_scaling_of_factors(std::vector<float>(64, 1), 10000, "some.gguf").type, "");
  std::vector<float> odd(64, 1);
  odd[3] = 2;
  EXPECT_THROW(rope_scaling_of_factors(odd, 10000, "some.gguf"), UserError);
  odd[3] = 0.5;
  EXPECT_THROW(rope_scaling_of_factors(odd, 10000, "some.gguf"), UserError);
}

}  // namespace
}  // namespace gaggle
