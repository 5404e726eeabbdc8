#include "formats/bitsandbytes.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json.h"

namespace gaggle {
namespace {

using nlohmann::json;

constexpr const char* state_prefix = ".quant_state.bitsandbytes__";

struct Place {
  const FindTensor& find;
  const std::string& folder;
  const std::string& name;

  const TensorView& part(const std::string& suffix, DType dtype, int64_t count) const {
    const TensorView* tensor = find(name + suffix);
    if (!tensor) user_error("{}: tensor {} is missing, a part of the quantised {}", folder, name + suffix, name);
    if (tensor->dtype != dtype || tensor->count() != count)
      user_error("{}: tensor {} is {} {}; expected {} values of {}", folder, tensor->name, name_of(tensor->dtype),
                 shape_text(tensor->shape), count, name_of(dtype));
    return *tensor;
  }
  std::vector<float> floats(const std::string& suffix, int64_t count) const {
    std::vector<float> values(static_cast<size_t>(count));
    to_float(part(suffix, DType::f32, count), values);
    return values;
  }
};

// The state of 4-bit codes, a JSON text in a tensor of bytes.
json quant_state(const Place& place, const TensorView& tensor) {
  json state;
  try {
    state = parse_json({reinterpret_cast<const char*>(tensor.bytes.data()), tensor.bytes.size()});
  } catch (const json::exception& error) {
    user_error("{}: tensor {}: {}", place.folder, tensor.name, json_reason(error));
  }
  const auto number = [&](const char* key) { return !state.contains(key) || state[key].is_number(); };
  if (!state.is_object() || !state.contains("quant_type") || !state["quant_type"].is_string() || !number("blocksize") ||
      !number("nested_blocksize") || !number("nested_offset"))
    user_error("{}: tensor {} is no state of bitsandbytes: {}", place.folder, tensor.name, state.dump());
  return state;
}

json nf4_state(const Place& place, std::span<const int64_t> shape) {
  const json state = quant_state(place, place.part(std::string(state_prefix) + "nf4", DType::u8,
                                                   place.find(place.name + state_prefix + "nf4")->count()));
  const int64_t block = state.value("blocksize", int64_t{0});
  if (state.value("quant_type", "") != "nf4" || block != nf4_block || state.value("shape", json()) != json(shape))
    user_error("{}: {} is quantised as {}; expected nf4 in blocks of {} and shape {}", place.folder, place.name,
               state.dump(), nf4_block, shape_text(shape));
  const std::vector<float> map = place.floats(".quant_map", 16);
  if (!std::ranges::equal(map, nf4_values))
    user_error("{}: {}.quant_map does not hold the values of nf4", place.folder, place.name);
  return state;
}

// One scale for each block, or codes of them: nested_quant_map[code] · nested_absmax[block / 256] + nested_offset.
std::vector<float> nf4_scales(const Place& place, const json& state, int64_t blocks) {
  if (!state.contains("nested_offset")) return place.floats(".absmax", blocks);
  const auto of_one = state.value("nested_blocksize", int64_t{0});
  if (of_one < 1) user_error("{}: {} has scales in blocks of {}", place.folder, place.name, of_one);
  const TensorView& codes = place.part(".absmax", DType::u8, blocks);
  const std::vector<float> map = place.floats(".nested_quant_map", 256);
  const std::vector<float> outer = place.floats(".nested_absmax", (blocks + of_one - 1) / of_one);
  const auto offset = state.at("nested_offset").get<float>();
  std::vector<float> scales(static_cast<size_t>(blocks));
  for (size_t i = 0; i < scales.size(); ++i)
    scales[i] = map[static_cast<size_t>(codes.bytes[i])] * outer[i / static_cast<size_t>(of_one)] + offset;
  return scales;
}

std::string scales_of_int8(const std::string& name) {
  return name.ends_with(".weight") ? name.substr(0, name.size() - 6) + "SCB" : "";
}

}  // namespace

bool is_bitsandbytes_part(const std::string& name) {
  static const char* const endings[] = {
      ".weight.absmax", ".weight.quant_map", ".weight.nested_absmax", ".weight.nested_quant_map",
      ".SCB",           ".weight_format"};
  return name.find(state_prefix) != std::string::npos ||
         std::ranges::any_of(endings, [&](const char* ending) { return name.ends_with(ending); });
}

std::optional<RowForm> bitsandbytes_form(const FindTensor& find, const std::string& folder, const std::string& name,
                                         std::span<const int64_t> shape) {
  const TensorView* codes = find(name);
  if (!codes || shape.size() != 2 || (codes->dtype != DType::u8 && codes->dtype != DType::i8)) return std::nullopt;
  if (codes->dtype == DType::i8) {
    if (!std::ranges::equal(codes->shape, shape))
      user_error("{}: tensor {} has shape {}; config.json asks for {}", folder, name, shape_text(codes->shape),
                 shape_text(shape));
    if (!find(scales_of_int8(name))) user_error("{}: {} is int8 without its scales (SCB)", folder, name);
    return RowForm{RowKind::int8};
  }
  if (find(name + state_prefix + "fp4"))
    user_error(
        "{}: {} is quantised as fp4; expected nf4 or int8: quantise the model with bnb_4bit_quant_type = \"nf4\"",
        folder, name);
  if (!find(name + state_prefix + "nf4"))
    user_error("{}: {} holds bytes, and no tensor says how they are meant ({}nf4)", folder, name, state_prefix);
  const RowForm nf4{RowKind::nf4};
  if (!takes(nf4, shape[1]))
    user_error("{}: {} has rows of {} values, of which blocks of {} go on from row to row; that is not supported",
               folder, name, shape[1], nf4_block);
  return nf4;
}

StoredRows read_bitsandbytes(const FindTensor& find, const std::string& folder, const std::string& name,
                             std::span<const int64_t> shape) {
  const RowForm form = *bitsandbytes_form(find, folder, name, shape);
  const Place place{find, folder, name};
  StoredRows stored{form, shape[0], shape[1], {}, {}};
  const int64_t values = stored.rows * stored.width;
  const bool int8 = form.kind == RowKind::int8;
  const TensorView& codes = int8 ? place.part("", DType::i8, values) : place.part("", DType::u8, values / 2);
  stored.codes.assign(codes.bytes.begin(), codes.bytes.end());
  if (int8) {
    const std::string scales = scales_of_int8(name);
    stored.scales = Place{find, folder, scales}.floats("", stored.rows);
    return stored;
  }
  stored.scales = nf4_scales(place, nf4_state(place, shape), values / nf4_block);
  return stored;
}

}  // namespace gaggle
