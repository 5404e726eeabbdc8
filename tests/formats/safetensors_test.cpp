// safetensors: what is written is read back, and every damage is refused with its reason.
#include "formats/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>

#include "base/error.h"
#include "formats/half.h"
#include "refusal.h"

namespace gaggle {
namespace {

std::string file_of(const std::string& header, size_t data_bytes) {
  const uint64_t length = header.size();
  std::string bytes(sizeof(length), '\0');
  std::memcpy(bytes.data(), &length, sizeof(length));
  return bytes + header + std::string(data_bytes, 'x');
}

TEST(Tensors, TheFirstValueThatIsNotFiniteIsNamed) {
  std::vector<float> values(12, 1e30f);
  for (const DType dtype : {DType::f32, DType::bf16})
    EXPECT_EQ(not_finite(from_float("t", {2, 3, 2}, values, dtype).view()), "");
  EXPECT_EQ(not_finite(from_float("t", {2, 3, 2}, values, DType::f16).view()), "tensor t is infinite at [0, 0, 0]");
  values.assign(12, 0);
  values[9] = std::numeric_limits<float>::quiet_NaN();
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16})
    EXPECT_EQ(not_finite(from_float("t", {2, 3, 2}, values, dtype).view()), "tensor t is NaN at [1, 1, 1]");
  const std::vector<std::byte> ones(8, std::byte{0xff});
  EXPECT_EQ(not_finite(TensorView{"t", DType::f64, {1}, ones}), "tensor t is NaN at [0]");
  EXPECT_EQ(not_finite(TensorView{"t", DType::i64, {1}, ones}), "");
  EXPECT_EQ(not_finite(from_float("t", {}, std::vector<float>{INFINITY}, DType::f32).view()),
            "tensor t is infinite at []");
}

TEST(Safetensors, ReadsBackWhatWasWritten) {
  const std::vector<float> values{1, -2.5f, 3e-8f, 65504, 0, 1.0f / 3};
  std::vector<NamedTensor> tensors{
      from_float("b", {2, 3}, values, DType::f32), from_float("a", {6}, values, DType::bf16),
      from_float("c", {3, 1, 2}, values, DType::f16), from_float("none", {0, 4}, {}, DType::f32)};
  std::vector<TensorView> views;
  for (const auto& tensor : tensors) views.push_back(tensor.view());
  const std::string bytes = safetensors_bytes(views, {{"format", "pt"}, {"made by", "a \"test\""}});
  const std::string header = R"({"__metadata__":{"format":"pt","made by":"a \"test\""},)"
                             R"("b":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},)"
                             R"("a":{"dtype":"BF16","shape":[6],"data_offsets":[24,36]},)"
                             R"("c":{"dtype":"F16","shape":[3,1,2],"data_offsets":[36,48]},)"
                             R"("none":{"dtype":"F32","shape":[0,4],"data_offsets":[48,48]}})";
  EXPECT_EQ(bytes.substr(8, header.size()), header);
  EXPECT_EQ(safetensors_bytes({}, {}).substr(8), "{}      ");
  const SafetensorsFile file(std::as_bytes(std::span(bytes)), "some.safetensors");
  EXPECT_EQ(file.metadata().at("made by"), "a \"test\"");
  ASSERT_EQ(file.tensors().size(), 4u);
  for (const auto& tensor : tensors) {
    const TensorView& read = file.at(tensor.name);
    EXPECT_EQ(read.shape, tensor.shape);
    EXPECT_EQ(read.dtype, tensor.dtype);
    EXPECT_TRUE(std::ranges::equal(read.bytes, tensor.bytes)) << tensor.name;
  }
  std::vector<float> back(6);
  to_float(file.at("b"), back);
  EXPECT_EQ(back, values);
  EXPECT_EQ(file.find("d"), nullptr);
  EXPECT_THROW(file.at("d"), UserError);
}

TEST(Safetensors, WritesNoHeaderThatItsReaderRefuses) {
  try {
    safetensors_bytes({}, {{"long", std::string(100'000'000, 'x')}});
    ADD_FAILURE() << "a header beyond the limit was written";
  } catch (const UserError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("limited to 100000000 bytes"));
  }
}

TEST(Safetensors, RefusesDamage) {
  const std::string good = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  EXPECT_EQ(refusal<SafetensorsFile>(file_of(good, 8)), "");
  using testing::HasSubstr;
  EXPECT_THAT(refusal<SafetensorsFile>(""), HasSubstr("some.file"));
  EXPECT_THAT(refusal<SafetensorsFile>("GGUF"), HasSubstr("truncated"));
  EXPECT_THAT(refusal<SafetensorsFile>(file_of(good, 7)), HasSubstr("tensor a ends at byte 8"));
  EXPECT_THAT(refusal<SafetensorsFile>(file_of(good, 9)), HasSubstr("1 bytes after the last tensor"));
  EXPECT_THAT(refusal<SafetensorsFile>(file_of(good, 8).substr(0, 30)), HasSubstr("truncated"));
  EXPECT_THAT(refusal<SafetensorsFile>(std::string(16, '\xff')), HasSubstr("header of"));
  const auto header = [](const std::string& text) { return refusal<SafetensorsFile>(file_of(text, 8)); };
  EXPECT_THAT(header("[]"), HasSubstr("not a JSON object"));
  EXPECT_THAT(header("{"), HasSubstr("not JSON"));
  EXPECT_THAT(header(R"({"a":{"dtype":"F8_E4M3","shape":[8],"data_offsets":[0,8]}})"), HasSubstr("type F8_E4M3"));
  EXPECT_THAT(header(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})"), HasSubstr("need 12"));
  EXPECT_THAT(header(R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})"), HasSubstr("impossible shape"));
  EXPECT_THAT(header(R"({"a":{"dtype":"F32","shape":[4294967296,4294967296,16],"data_offsets":[0,8]}})"),
              HasSubstr("impossible shape"));
  EXPECT_THAT(header(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})"), HasSubstr("impossible offsets"));
  EXPECT_THAT(
      header(
          R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})"),
      HasSubstr("overlap"));
  EXPECT_THAT(header(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})"), HasSubstr("hole"));
  EXPECT_THAT(
      header(
          R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})"),
      HasSubstr("tensor a twice"));
  EXPECT_THAT(header(R"({"a":{"shape":[2]}})"), HasSubstr("lacks dtype"));
  EXPECT_THAT(header(R"({"a":{"dtype":"F32","shape":[[[[[[2]]]]]],"data_offsets":[0,8]}})"), HasSubstr("nested"));
}

TEST(Tensor, IntegersAreNoWeights) {
  const std::string bytes = file_of(R"({"a":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}})", 8);
  const SafetensorsFile file(std::as_bytes(std::span(bytes)), "some.safetensors");
  std::vector<float> values(1);
  EXPECT_THROW(to_float(file.at("a"), values), UserError);
}

// Every fp16 value survives fp32; halfway points go to the even neighbour.
TEST(Half, RoundTripsAndRoundsToEven) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const float f16 = f16_to_float(static_cast<uint16_t>(bits)), bf16 = bf16_to_float(static_cast<uint16_t>(bits));
    if (!std::isnan(f16)) {
      ASSERT_EQ(float_to_f16(f16), bits);
    }
    if (!std::isnan(bf16)) {
      ASSERT_EQ(float_to_bf16(bf16), bits);
    }
  }
  EXPECT_TRUE(std::isnan(f16_to_float(float_to_f16(std::numeric_limits<float>::quiet_NaN()))));
  EXPECT_TRUE(std::isnan(bf16_to_float(float_to_bf16(std::numeric_limits<float>::signaling_NaN()))));
  EXPECT_EQ(f16_to_float(1), 0x1p-24f);
  EXPECT_EQ(float_to_f16(0x1p-25f), 0);             // halfway between 0 and the least subnormal
  EXPECT_EQ(float_to_f16(0x1.8p-24f), 2);           // halfway between 1 and 2
  EXPECT_EQ(float_to_f16(1 + 0x1p-11f), 0x3c00);    // halfway, 1.0 is even
  EXPECT_EQ(float_to_f16(1 + 0x1.8p-10f), 0x3c02);  // halfway between odd and even
  EXPECT_EQ(float_to_f16(65519), 0x7bff);
  EXPECT_EQ(float_to_f16(65520), 0x7c00);
  EXPECT_EQ(float_to_bf16(1 + 0x1p-8f), 0x3f80);
  EXPECT_EQ(float_to_bf16(1 + 0x1.8p-7f), 0x3f82);
}

}  // namespace
}  // namespace gaggle
