#include "formats/gguf.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace gaggle {
namespace {

// ggml's names of the types that are not read, for messages.
std::string type_name(uint32_t number) {
  static constexpr const char* names[] = {"F32",     "F16",    "Q4_0",    "Q4_1",  "Q4_2",   "Q4_3",  "Q5_0",  "Q5_1",
                                          "Q8_0",    "Q8_1",   "Q2_K",    "Q3_K",  "Q4_K",   "Q5_K",  "Q6_K",  "Q8_K",
                                          "IQ2_XXS", "IQ2_XS", "IQ3_XXS", "IQ1_S", "IQ4_NL", "IQ3_S", "IQ2_S", "IQ4_XS",
                                          "I8",      "I16",    "I32",     "I64",   "F64",    "IQ1_M", "BF16"};
  return number < std::size(names) ? names[number] : fmt::format("number {}", number);
}

// Reads forward; every length is held against what is left before anything is allocated.
struct Reader {
  std::span<const std::byte> bytes;
  const std::string& file;
  uint64_t at = 0;

  uint64_t left() const { return bytes.size() - at; }

  template <class T>
  T take(const char* what) {
    T value;
    std::memcpy(&value, take_bytes(sizeof(T), what).data(), sizeof(T));
    return value;
  }

  std::string take_string(const char* what) {
    const auto length = take<uint64_t>(what);
    const auto text = take_bytes(length, what);
    return {reinterpret_cast<const char*>(text.data()), text.size()};
  }

  std::span<const std::byte> take_bytes(uint64_t length, const char* what) {
    if (length > left())
      user_error("{}: {} at byte {} needs {} bytes, but only {} are left: the file is truncated or damaged", file, what,
                 at, length, left());
    const auto taken = bytes.subspan(at, length);
    at += length;
    return taken;
  }

  // A count of things that take at least `least` bytes each.
  uint64_t take_count(uint64_t least, const char* what) {
    const uint64_t start = at;
    const auto count = take<uint64_t>(what);
    if (count > left() / least)
      user_error("{}: {} at byte {} is {}, more than the {} bytes left can hold: the file is truncated or damaged",
                 file, what, start, count, left());
    return count;
  }
};

using Number = std::variant<int64_t, double>;

template <class T>
Number take_number(Reader& reader, const std::string& key) {
  const T value = reader.take<T>("a metadata value");
  if constexpr (std::is_floating_point_v<T>) {
    return double{value};
  } else {
    if (!std::in_range<int64_t>(value)) user_error("{}: metadata {} is {}, beyond 2^63 - 1", reader.file, key, value);
    return static_cast<int64_t>(value);
  }
}

Number take_bool(Reader& reader, const std::string&) { return int64_t{reader.take<uint8_t>("a metadata value") != 0}; }

struct NumberKind {
  size_t width = 0;
  Number (*take)(Reader&, const std::string& key) = nullptr;
};
template <class T>
constexpr NumberKind kind_for{sizeof(T), take_number<T>};
constexpr NumberKind bools{1, take_bool}, no_number;

// Metadata value types by ggml's numbers; strings (8) and arrays (9) are no numbers.
constexpr NumberKind number_kinds[] = {kind_for<uint8_t>,  kind_for<int8_t>,  kind_for<uint16_t>, kind_for<int16_t>,
                                       kind_for<uint32_t>, kind_for<int32_t>, kind_for<float>,    bools,
                                       no_number,          no_number,         kind_for<uint64_t>, kind_for<int64_t>,
                                       kind_for<double>};
constexpr uint32_t kind_f32 = 6, kind_bool = 7, kind_string = 8, kind_array = 9, kind_f64 = 12;

bool is_number(uint32_t kind) { return kind < std::size(number_kinds) && number_kinds[kind].take; }

GgufValue take_array(Reader& reader, const std::string& key) {
  const auto kind = reader.take<uint32_t>("an array's type");
  if (kind == kind_string) {
    const uint64_t count = reader.take_count(sizeof(uint64_t), "an array's length");
    std::vector<std::string> texts;
    for (uint64_t i = 0; i < count; ++i) texts.push_back(reader.take_string("a text of an array"));
    return texts;
  }
  if (!is_number(kind))
    user_error("{}: metadata {} is an array of type {}, which is not read here", reader.file, key, kind);
  const auto take_all = [&]<class T>(std::vector<T> numbers) {
    const uint64_t count = reader.take_count(number_kinds[kind].width, "an array's length");
    for (uint64_t i = 0; i < count; ++i) numbers.push_back(std::get<T>(number_kinds[kind].take(reader, key)));
    return numbers;
  };
  if (kind == kind_f32 || kind == kind_f64) return take_all(std::vector<double>());
  return take_all(std::vector<int64_t>());
}

GgufValue take_value(Reader& reader, const std::string& key) {
  const auto kind = reader.take<uint32_t>("a metadata type");
  if (kind == kind_string) return reader.take_string("a metadata text");
  if (kind == kind_array) return take_array(reader, key);
  if (kind == kind_bool) return reader.take<uint8_t>("a metadata value") != 0;
  if (!is_number(kind))
    user_error("{}: metadata {} has the unknown type {}: the file is damaged", reader.file, key, kind);
  return std::visit([](auto number) { return GgufValue(number); }, number_kinds[kind].take(reader, key));
}

// One row of the tensor table: the place within the data, and the tensor without its bytes.
std::pair<uint64_t, GgufTensor> take_tensor(Reader& reader) {
  const std::string& file = reader.file;
  GgufTensor tensor;
  tensor.name = reader.take_string("a tensor's name");
  const auto dimensions = reader.take<uint32_t>("a tensor's number of dimensions");
  if (dimensions == 0 || dimensions > 4)
    user_error("{}: tensor {} has {} dimensions; expected 1 to 4: the file is damaged", file, tensor.name, dimensions);
  uint64_t count = 1;
  for (uint32_t i = 0; i < dimensions; ++i) {
    const auto extent = reader.take<uint64_t>("a tensor's shape");
    if (extent == 0 || extent > uint64_t{INT64_MAX} || __builtin_mul_overflow(count, extent, &count) ||
        count > uint64_t{INT64_MAX} / 8)
      user_error("{}: tensor {} has an impossible shape: the file is damaged", file, tensor.name);
    tensor.shape.push_back(static_cast<int64_t>(extent));
  }
  const auto number = reader.take<uint32_t>("a tensor's type");
  const auto offset = reader.take<uint64_t>("a tensor's offset");
  if (!is_read(number))
    user_error(
        "{}: tensor {} has type {}; F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K to Q6_K, IQ4_NL and IQ4_XS are "
        "read",
        file, tensor.name, type_name(number));
  tensor.type = static_cast<GgufType>(number);
  const int64_t block = gguf_block(tensor.type).values;
  if (tensor.shape[0] % block != 0)
    user_error("{}: tensor {} has rows of {} values; its type {} needs a multiple of {}", file, tensor.name,
               tensor.shape[0], type_name(number), block);
  std::reverse(tensor.shape.begin(), tensor.shape.end());
  return {offset, std::move(tensor)};
}

void check_version(Reader& reader) {
  const auto magic = reader.take_bytes(4, "the first four letters");
  if (std::memcmp(magic.data(), "GGUF", 4) != 0)
    user_error("{}: this is no GGUF file (it does not start with GGUF)", reader.file);
  const auto version = reader.take<uint32_t>("the version");
  if (version == 0x02000000u || version == 0x03000000u)
    user_error("{}: a big-endian GGUF file; little-endian ones are read", reader.file);
  if (version != 2 && version != 3) user_error("{}: GGUF version {}; versions 2 and 3 are read", reader.file, version);
}

}  // namespace

GgufFile::GgufFile(const std::filesystem::path& path)
    : file_(std::make_unique<MappedFile>(path)), name_(path.string()) {
  parse(file_->bytes());
}

GgufFile::GgufFile(std::span<const std::byte> bytes, std::string name) : name_(std::move(name)) { parse(bytes); }

void GgufFile::parse(std::span<const std::byte> bytes) {
  Reader reader{bytes, name_};
  check_version(reader);
  constexpr uint64_t least_tensor = 8 + 4 + 8 + 4 + 8, least_pair = 8 + 4 + 1;
  const uint64_t tensor_count = reader.take_count(least_tensor, "the number of tensors");
  const uint64_t pair_count = reader.take_count(least_pair, "the number of metadata pairs");
  for (uint64_t i = 0; i < pair_count; ++i) {
    std::string key = reader.take_string("a metadata key");
    GgufValue found = take_value(reader, key);
    if (!metadata_.emplace(key, std::move(found)).second) user_error("{}: metadata {} is there twice", name_, key);
  }
  std::vector<uint64_t> offsets;
  for (uint64_t i = 0; i < tensor_count; ++i) {
    auto [offset, tensor] = take_tensor(reader);
    if (!index_.emplace(tensor.name, tensors_.size()).second)
      user_error("{}: tensor {} is there twice", name_, tensor.name);
    offsets.push_back(offset);
    tensors_.push_back(std::move(tensor));
  }
  const int64_t alignment = integer_or("general.alignment", 32);
  if (alignment < 1 || alignment > (1 << 20) || (alignment & (alignment - 1)) != 0)
    user_error("{}: general.alignment is {}; expected a power of two", name_, alignment);
  const auto step = static_cast<uint64_t>(alignment);
  const uint64_t start = (reader.at + step - 1) / step * step;
  place_tensors(bytes.subspan(std::min<uint64_t>(start, bytes.size())), offsets, step);
}

// Gives every tensor the bytes that begin at its offset of `data`.
void GgufFile::place_tensors(std::span<const std::byte> data, const std::vector<uint64_t>& offsets,
                             uint64_t alignment) {
  std::vector<std::pair<uint64_t, const GgufTensor*>> order;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    GgufTensor& tensor = tensors_[i];
    const GgufBlock block = gguf_block(tensor.type);
    uint64_t size = 0;
    const auto blocks = static_cast<uint64_t>(tensor.count() / block.values);
    if (__builtin_mul_overflow(blocks, static_cast<uint64_t>(block.bytes), &size) || offsets[i] > data.size() ||
        size > data.size() - offsets[i])
      user_error("{}: tensor {} needs {} bytes from byte {} of the data, but only {} are there: the file is truncated",
                 name_, tensor.name, size, offsets[i], data.size());
    if (offsets[i] % alignment != 0)
      user_error("{}: tensor {} starts at byte {}, no multiple of the alignment {}", name_, tensor.name, offsets[i],
                 alignment);
    tensor.bytes = data.subspan(offsets[i], size);
    order.emplace_back(offsets[i], &tensor);
  }
  std::sort(order.begin(), order.end());
  for (size_t i = 1; i < order.size(); ++i) {
    const GgufTensor& before = *order[i - 1].second;
    if (order[i - 1].first + before.bytes.size() > order[i].first)
      user_error("{}: tensors {} and {} overlap", name_, before.name, order[i].second->name);
  }
}

const GgufTensor* GgufFile::find(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

double GgufFile::number(std::string_view key) const {
  if (const auto* integer = value_if<int64_t>(key)) return static_cast<double>(*integer);
  return value<double>(key, "a number");
}

std::vector<double> GgufFile::numbers(std::string_view key) const {
  if (const auto* integers = value_if<std::vector<int64_t>>(key)) return {integers->begin(), integers->end()};
  return value<std::vector<double>>(key, "an array of numbers");
}

}  // namespace gaggle
