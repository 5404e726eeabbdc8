#include "model/stored_weight.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "kernel/platform.h"
#include "kernel/simd.h"
#include "kernel/upload.h"
#include "model/gguf_tensors.h"

namespace gaggle {
namespace {

template <class T>
at::Tensor tensor_of(const std::vector<T>& values, int64_t rows, at::ScalarType type) {
  const auto count = static_cast<int64_t>(values.size());
  at::Tensor here = at::empty({rows, count / rows}, type);
  if (count > 0) std::memcpy(here.data_ptr(), values.data(), values.size() * sizeof(T));
  return here;
}

GAGGLE_CLONES void round_row(const float* from, int64_t n, simd::Bf16* to) {
  for (int64_t i = 0; i < n; i += simd::lanes) {
    simd::Floats x;
    simd::load(from + i, n - i, x);
    simd::store(to + i, n - i, x);
  }
}

void put_row(std::span<const float> row, char* to, at::ScalarType dtype) {
  if (dtype == at::kBFloat16)
    return round_row(row.data(), static_cast<int64_t>(row.size()), reinterpret_cast<simd::Bf16*>(to));
  if (dtype == at::kFloat) return static_cast<void>(std::memcpy(to, row.data(), row.size_bytes()));
  GAGGLE_CHECK(dtype == at::kDouble);
  std::ranges::copy(row, reinterpret_cast<double*>(to));
}

}  // namespace

Storage storage_named(const std::string& name) {
  if (name == "int8") return Storage::int8;
  if (name == "nf4") return Storage::nf4;
  return name == "file" ? Storage::file : Storage::dtype;
}

bool is_linear_weight(const WeightInfo& weight) {
  return weight.shape.size() == 2 && weight.name != "model.embed_tokens.weight" && weight.name != "shared.weight" &&
         weight.name != "lm_head.weight" && !weight.name.ends_with("relative_attention_bias.weight");
}

std::optional<RowForm> form_in_memory(Storage storage, const ModelCheckpoint& checkpoint, const WeightInfo& weight) {
  if (storage == Storage::dtype || !is_linear_weight(weight)) return std::nullopt;
  if (storage == Storage::file) return checkpoint.form(weight);
  const RowForm form{storage == Storage::int8 ? RowKind::int8 : RowKind::nf4};
  return takes(form, weight.shape[1]) ? std::optional(form) : std::nullopt;
}

StoredWeight::StoredWeight(const StoredRows& rows, at::ScalarType dtype, at::Device device, const Place& place)
    : form_(rows.form),
      width_(rows.width),
      dtype_(dtype),
      codes_(place(tensor_of(rows.codes, rows.rows, at::kByte))),
      scales_(place(tensor_of(rows.scales, rows.rows, at::kFloat))) {
  if (device.is_cpu()) return;
  if (form_.kind == RowKind::nf4) nf4_values_ = to_device(std::span<const float>(nf4_values), device);
}

at::Tensor StoredWeight::expand() const {
  const int64_t rows = d_out();
  const at::Tensor held_codes = codes_.get(), held_scales = scales_.get();
  if (!held_codes.device().is_cpu()) {
    if (form_.kind == RowKind::gguf) return gguf_values(form_.type, held_codes, width_).to(dtype_);
    if (form_.kind == RowKind::int8)
      return held_codes.view(at::kChar).to(at::kFloat).mul_(held_scales).mul_(int8_step).to(dtype_);
    const at::Tensor codes = at::stack({held_codes.bitwise_right_shift(4), held_codes.bitwise_and(15)}, 2);
    const at::Tensor values = nf4_values_.index_select(0, codes.flatten().to(at::kInt));
    return values.view({rows, -1, nf4_block}).mul_(held_scales.unsqueeze(2)).view({rows, width_}).to(dtype_);
  }
  at::Tensor all = at::empty({rows, width_}, dtype_);
  const auto bytes = static_cast<size_t>(codes_.size(1)), scales = static_cast<size_t>(scales_.size(1));
  const auto* codes = static_cast<const std::byte*>(held_codes.data_ptr());
  const float* scale = held_scales.data_ptr<float>();
  const auto width = static_cast<size_t>(width_);
  auto* to = static_cast<char*>(all.data_ptr());
  at::parallel_for(0, rows, std::max<int64_t>(1, 16384 / width_), [&](int64_t begin, int64_t end) {
    std::vector<float> row(width);
    for (auto r = static_cast<size_t>(begin); r < static_cast<size_t>(end); ++r) {
      expand_row(form_, {codes + r * bytes, bytes}, {scale + r * scales, scales}, row);
      put_row(row, to + r * width * all.element_size(), dtype_);
    }
  });
  return all;
}

}  // namespace gaggle
