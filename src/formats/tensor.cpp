#include "formats/tensor.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <numeric>

#include "base/error.h"
#include "formats/half.h"

namespace gaggle {
namespace {

struct DTypeFacts {
  const char* name;
  size_t size;
};
constexpr DTypeFacts dtypes[] = {{"F64", 8}, {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"I64", 8},  // as in DType
                                 {"I32", 4}, {"I16", 2}, {"I8", 1},  {"U8", 1},   {"BOOL", 1}};

// The bytes may start anywhere in a file: values are copied out, never pointed at.
template <class T>
T value_at(std::span<const std::byte> bytes, size_t i) {
  T value;
  std::memcpy(&value, bytes.data() + i * sizeof(T), sizeof(T));
  return value;
}

// Floating point numbers that are not finite have ones alone in their exponent.
template <class Bits>
std::optional<size_t> first_not_finite(std::span<const std::byte> bytes, Bits exponent) {
  for (size_t i = 0; i < bytes.size() / sizeof(Bits); ++i)
    if ((value_at<Bits>(bytes, i) & exponent) == exponent) return i;
  return std::nullopt;
}

std::optional<size_t> first_not_finite(const TensorView& tensor) {
  switch (tensor.dtype) {
    case DType::f64:
      return first_not_finite<uint64_t>(tensor.bytes, 0x7ff0000000000000u);
    case DType::f32:
      return first_not_finite<uint32_t>(tensor.bytes, 0x7f800000u);
    case DType::f16:
      return first_not_finite<uint16_t>(tensor.bytes, 0x7c00u);
    case DType::bf16:
      return first_not_finite<uint16_t>(tensor.bytes, 0x7f80u);
    default:
      return std::nullopt;
  }
}

}  // namespace

size_t size_of(DType dtype) { return dtypes[static_cast<size_t>(dtype)].size; }

std::string name_of(DType dtype) { return dtypes[static_cast<size_t>(dtype)].name; }

std::optional<DType> dtype_named(const std::string& name) {
  const auto* found = std::ranges::find(dtypes, name, &DTypeFacts::name);
  return found == std::end(dtypes) ? std::nullopt : std::optional(static_cast<DType>(found - dtypes));
}

std::string shape_text(std::span<const int64_t> shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

int64_t count_of(std::span<const int64_t> shape) {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

void refuse_not_gathered(const std::string& place, const std::string& tensor) {
  user_error(
      "{}: tensor {} is empty: DeepSpeed's ZeRO-3 saved it without gathering its parts; save it again with "
      "stage3_gather_16bit_weights_on_model_save, or make the weights with zero_to_fp32.py",
      place, tensor);
}

void to_float(const TensorView& tensor, std::span<float> values) {
  const auto& bytes = tensor.bytes;
  GAGGLE_CHECK(bytes.size() == values.size() * size_of(tensor.dtype), "{}: {} bytes, {} values", tensor.name,
               bytes.size(), values.size());
  switch (tensor.dtype) {
    case DType::f32:
      if (!values.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
      return;
    case DType::f64:
      for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(value_at<double>(bytes, i));
      return;
    case DType::f16:
      for (size_t i = 0; i < values.size(); ++i) values[i] = f16_to_float(value_at<uint16_t>(bytes, i));
      return;
    case DType::bf16:
      for (size_t i = 0; i < values.size(); ++i) values[i] = bf16_to_float(value_at<uint16_t>(bytes, i));
      return;
    default:
      user_error("tensor {} has type {}; expected F32, F16, BF16 or F64", tensor.name, name_of(tensor.dtype));
  }
}

std::string not_finite(const TensorView& tensor) {
  const std::optional<size_t> first = first_not_finite(tensor);
  if (!first) return "";
  float value = 0;
  to_float(
      {tensor.name, tensor.dtype, {1}, tensor.bytes.subspan(*first * size_of(tensor.dtype), size_of(tensor.dtype))},
      {&value, 1});
  std::vector<int64_t> place = tensor.shape;
  auto rest = static_cast<int64_t>(*first);
  for (size_t d = place.size(); d-- > 0; rest /= tensor.shape[d]) place[d] = rest % tensor.shape[d];
  return fmt::format("tensor {} is {} at {}", tensor.name, std::isnan(value) ? "NaN" : "infinite", shape_text(place));
}

std::string not_finite(const std::vector<TensorView>& tensors, const std::string& file) {
  for (const TensorView& tensor : tensors)
    if (const std::string found = not_finite(tensor); !found.empty()) return fmt::format("{}: {}", file, found);
  return "";
}

std::string not_finite(const TensorFile& file) { return not_finite(file.tensors(), file.name()); }

NamedTensor from_float(std::string name, std::vector<int64_t> shape, std::span<const float> values, DType dtype) {
  NamedTensor tensor{std::move(name), dtype, std::move(shape), {}};
  GAGGLE_CHECK(tensor.view().count() == static_cast<int64_t>(values.size()), "{}: {} values", tensor.name,
               values.size());
  GAGGLE_CHECK(dtype == DType::f32 || dtype == DType::f16 || dtype == DType::bf16, "{} from fp32", name_of(dtype));
  tensor.bytes.resize(values.size() * size_of(dtype));
  if (dtype == DType::f32) {
    if (!values.empty()) std::memcpy(tensor.bytes.data(), values.data(), tensor.bytes.size());
    return tensor;
  }
  const auto convert = dtype == DType::f16 ? float_to_f16 : float_to_bf16;
  for (size_t i = 0; i < values.size(); ++i) {
    const uint16_t bits = convert(values[i]);
    std::memcpy(tensor.bytes.data() + 2 * i, &bits, 2);
  }
  return tensor;
}

TensorFile::TensorFile(const std::filesystem::path& path)
    : file_(std::make_unique<MappedFile>(path)), bytes_(file_->bytes()), name_(path.string()) {}

TensorFile::TensorFile(std::span<const std::byte> bytes, std::string name) : bytes_(bytes), name_(std::move(name)) {}

void TensorFile::add(TensorView tensor) {
  if (!index_.emplace(tensor.name, tensors_.size()).second)
    user_error("{}: two tensors are named {}", name_, tensor.name);
  tensors_.push_back(std::move(tensor));
}

const TensorView* TensorFile::find(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

const TensorView& TensorFile::at(std::string_view name) const {
  const TensorView* tensor = find(name);
  if (!tensor) user_error("{}: there is no tensor {}", name_, name);
  return *tensor;
}

}  // namespace gaggle
