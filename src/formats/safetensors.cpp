#include "formats/safetensors.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>
#include <unordered_set>

#include "base/error.h"
#include "base/json.h"
#include "base/terminal.h"

namespace gaggle {
namespace {

using nlohmann::json;

constexpr uint64_t header_limit = 100'000'000;  // as in the reference implementation

json parse_header(std::string_view text, const std::string& file) {
  std::set<std::string> seen;
  const json::parser_callback_t guard = [&](int depth, json::parse_event_t event, json& parsed) {
    if (depth > 3) user_error("{}: the header is nested deeper than the format has it", file);
    if (event == json::parse_event_t::key && depth == 1 && !seen.insert(parsed.get<std::string>()).second)
      user_error("{}: the header holds tensor {} twice", file, parsed.get<std::string>());
    return true;
  };
  try {
    json header = parse_json(text, guard);
    if (!header.is_object()) user_error("{}: the header is not a JSON object", file);
    return header;
  } catch (const json::exception& error) {
    user_error("{}: the header is not JSON ({}); is this a safetensors file?", file, error.what());
  }
}

// One entry of the header; `data` are the bytes behind the header.
TensorView parse_tensor(const std::string& name, const json& entry, std::span<const std::byte> data,
                        const std::string& file) {
  const bool complete = entry.is_object() && entry.contains("dtype") && entry["dtype"].is_string() &&
                        entry.contains("shape") && entry["shape"].is_array() && entry.contains("data_offsets") &&
                        entry["data_offsets"].is_array() && entry["data_offsets"].size() == 2;
  if (!complete) user_error("{}: tensor {} lacks dtype, shape or data_offsets", file, name);
  const std::string dtype = entry["dtype"];
  const auto known = dtype_named(dtype);
  if (!known)
    user_error("{}: tensor {} has type {}, which is not read here (F32, F16, BF16, F64 are)", file, name, dtype);
  TensorView tensor{name, *known, {}, {}};
  uint64_t size = size_of(*known);
  for (const json& extent : entry["shape"]) {
    if (!extent.is_number_unsigned() || extent.get<uint64_t>() > uint64_t{INT64_MAX} ||
        __builtin_mul_overflow(size, extent.get<uint64_t>(), &size) || size > uint64_t{INT64_MAX})
      user_error("{}: tensor {} has an impossible shape {}", file, name, shown(entry["shape"].dump()));
    tensor.shape.push_back(extent.get<int64_t>());
  }
  const json &begin = entry["data_offsets"][0], &end = entry["data_offsets"][1];
  if (!begin.is_number_unsigned() || !end.is_number_unsigned() || begin.get<uint64_t>() > end.get<uint64_t>())
    user_error("{}: tensor {} has impossible offsets {}", file, name, shown(entry["data_offsets"].dump()));
  const uint64_t first = begin, last = end;
  if (last > data.size())
    user_error("{}: tensor {} ends at byte {} of the data, but only {} are there: the file is truncated", file, name,
               last, data.size());
  if (last - first != size)
    user_error("{}: tensor {} has {} bytes, but its type {} and shape {} need {}", file, name, last - first, dtype,
               shown(entry["shape"].dump()), size);
  tensor.bytes = data.subspan(first, size);
  return tensor;
}

}  // namespace

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) : TensorFile(path) { parse(); }

SafetensorsFile::SafetensorsFile(std::span<const std::byte> bytes, std::string name)
    : TensorFile(bytes, std::move(name)) {
  parse();
}

void SafetensorsFile::parse() {
  const std::string& file = name();
  uint64_t length = 0;
  if (bytes().size() < sizeof(length))
    user_error("{}: {} bytes are no safetensors file: the file is truncated", file, bytes().size());
  std::memcpy(&length, bytes().data(), sizeof(length));
  if (length > header_limit)
    user_error("{}: a header of {} bytes is beyond the format's limit of {}; is this a safetensors file?", file, length,
               header_limit);
  if (length > bytes().size() - sizeof(length))
    user_error("{}: the header needs {} bytes, but only {} are there: the file is truncated", file, length,
               bytes().size() - sizeof(length));
  const std::string_view text(reinterpret_cast<const char*>(bytes().data()) + sizeof(length), length);
  const json header = parse_header(text, file);
  const auto data = bytes().subspan(sizeof(length) + length);
  std::vector<TensorView> tensors;
  for (const auto& [name, entry] : header.items()) {
    if (name != "__metadata__") {
      tensors.push_back(parse_tensor(name, entry, data, file));
      continue;
    }
    if (!entry.is_object()) user_error("{}: __metadata__ is not a table of texts", file);
    for (const auto& [key, text_value] : entry.items()) {
      if (!text_value.is_string()) user_error("{}: __metadata__ {} is not a text", file, key);
      metadata_[key] = text_value;
    }
  }
  std::ranges::stable_sort(
      tensors, {}, [](const TensorView& tensor) { return std::pair(tensor.bytes.data(), tensor.bytes.size()); });
  const std::byte* expected = data.data();
  for (TensorView& tensor : tensors) {
    if (tensor.bytes.data() != expected)
      user_error("{}: tensor {} starts at byte {} of the data; expected {}: tensors overlap or leave a hole", file,
                 tensor.name, tensor.bytes.data() - data.data(), expected - data.data());
    expected += tensor.bytes.size();
    add(std::move(tensor));
  }
  if (expected != data.data() + data.size())
    user_error("{}: {} bytes after the last tensor belong to none", file, data.data() + data.size() - expected);
}

namespace {

// Padded so that the data behind it starts aligned.
std::string header_text(const std::vector<TensorView>& tensors, const std::map<std::string, std::string>& metadata) {
  // Written piece by piece: an object that keeps its order looks at all its keys for each new one.
  std::string text = "{";
  if (!metadata.empty()) text += "\"__metadata__\":" + nlohmann::json(metadata).dump() + ",";
  size_t offset = 0;
  std::unordered_set<std::string_view> names;
  for (const TensorView& tensor : tensors) {
    GAGGLE_CHECK(names.insert(tensor.name).second, "tensor {} twice", tensor.name);
    GAGGLE_CHECK(tensor.bytes.size() == static_cast<size_t>(tensor.count()) * size_of(tensor.dtype), "{}", tensor.name);
    const size_t end = offset + tensor.bytes.size();
    text +=
        fmt::format(R"({}:{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}},)", nlohmann::json(tensor.name).dump(),
                    name_of(tensor.dtype), fmt::join(tensor.shape, ","), offset, end);
    offset = end;
  }
  if (text.back() == ',') text.pop_back();
  text += "}";
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return text;
}

}  // namespace

std::string safetensors_bytes(const std::vector<TensorView>& tensors,
                              const std::map<std::string, std::string>& metadata) {
  const std::string text = header_text(tensors, metadata);
  const uint64_t length = text.size();
  // Whoever reads the file would refuse it.
  if (length > header_limit)
    user_error(
        "{} tensors with {} bytes of names and metadata are too many for one safetensors file, whose header is "
        "limited to {} bytes: nothing is written; take fewer of them together",
        tensors.size(), length, header_limit);
  size_t size = 0;
  for (const TensorView& tensor : tensors) size += tensor.bytes.size();
  std::string bytes(sizeof(length), '\0');
  std::memcpy(bytes.data(), &length, sizeof(length));
  bytes.reserve(sizeof(length) + text.size() + size);
  bytes += text;
  for (const TensorView& tensor : tensors)
    bytes.append(reinterpret_cast<const char*>(tensor.bytes.data()), tensor.bytes.size());
  return bytes;
}

}  // namespace gaggle
