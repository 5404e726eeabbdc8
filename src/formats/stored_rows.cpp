#include "formats/stored_rows.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/error.h"

namespace gaggle {
namespace {

// Borders between neighbouring codes.
std::array<float, 15> nf4_borders() {
  std::array<float, 15> borders{};
  for (size_t i = 0; i < borders.size(); ++i) borders[i] = (nf4_values[i] + nf4_values[i + 1]) / 2;
  return borders;
}

float largest(std::span<const float> values) {
  float most = 0;
  for (const float value : values) most = std::max(most, std::abs(value));
  return most;
}

void to_int8(std::span<const float> values, std::byte* codes, float* scale) {
  *scale = largest(values);
  const float factor = *scale > 0 ? 127 / *scale : 0;
  for (size_t i = 0; i < values.size(); ++i)
    codes[i] = static_cast<std::byte>(static_cast<int8_t>(std::nearbyint(values[i] * factor)));
}

void to_nf4(std::span<const float> values, std::byte* codes, float* scales) {
  static const std::array<float, 15> borders = nf4_borders();
  for (size_t begin = 0; begin < values.size(); begin += nf4_block) {
    const std::span<const float> block = values.subspan(begin, nf4_block);
    const float scale = scales[begin / nf4_block] = largest(block);
    const float factor = scale > 0 ? 1 / scale : 0;
    const auto code = [&](float value) {
      return static_cast<unsigned>(std::ranges::lower_bound(borders, value * factor) - borders.begin());
    };
    for (size_t i = 0; i < block.size(); i += 2)
      codes[(begin + i) / 2] = static_cast<std::byte>(code(block[i]) << 4 | code(block[i + 1]));
  }
}

}  // namespace

const float nf4_values[16] = {-1.0F,
                              -0.6961928009986877F,
                              -0.5250730514526367F,
                              -0.39491748809814453F,
                              -0.28444138169288635F,
                              -0.18477343022823334F,
                              -0.09105003625154495F,
                              0.0F,
                              0.07958029955625534F,
                              0.16093020141124725F,
                              0.24611230194568634F,
                              0.33791524171829224F,
                              0.44070982933044434F,
                              0.5626170039176941F,
                              0.7229568362236023F,
                              1.0F};

bool takes(const RowForm& form, int64_t width) {
  const int64_t block = form.kind == RowKind::gguf  ? gguf_block(form.type).values
                        : form.kind == RowKind::nf4 ? nf4_block
                                                    : 1;
  return width % block == 0;
}

int64_t code_bytes(const RowForm& form, int64_t width) {
  if (form.kind == RowKind::int8) return width;
  if (form.kind == RowKind::nf4) return width / 2;
  const GgufBlock block = gguf_block(form.type);
  return width / block.values * block.bytes;
}

int64_t scale_count(const RowForm& form, int64_t width) {
  if (form.kind == RowKind::gguf) return 0;
  return form.kind == RowKind::int8 ? 1 : width / nf4_block;
}

void expand_row(const RowForm& form, std::span<const std::byte> codes, std::span<const float> scales,
                std::span<float> values) {
  if (form.kind == RowKind::gguf) return dequantize(form.type, codes, values);
  GAGGLE_CHECK(static_cast<int64_t>(codes.size()) == code_bytes(form, static_cast<int64_t>(values.size())));
  if (form.kind == RowKind::int8) {
    for (size_t i = 0; i < values.size(); ++i)
      values[i] = static_cast<float>(static_cast<int8_t>(codes[i])) * scales[0] * int8_step;
    return;
  }
  constexpr size_t bytes = nf4_block / 2;
  for (size_t block = 0; block < scales.size(); ++block) {
    float meant[16];  // by this block's codes
    for (size_t i = 0; i < 16; ++i) meant[i] = nf4_values[i] * scales[block];
    const std::byte* from = codes.data() + block * bytes;
    float* to = values.data() + block * nf4_block;
    for (size_t i = 0; i < bytes; ++i) {
      const auto both = static_cast<unsigned>(from[i]);
      to[2 * i] = meant[both >> 4];
      to[2 * i + 1] = meant[both & 15];
    }
  }
}

void expand(const StoredRows& stored, std::span<float> values) {
  const auto rows = static_cast<size_t>(stored.rows), width = static_cast<size_t>(stored.width);
  const size_t bytes = stored.codes.size() / rows, scales = stored.scales.size() / rows;
  for (size_t r = 0; r < rows; ++r)
    expand_row(stored.form, std::span(stored.codes).subspan(r * bytes, bytes),
               std::span(stored.scales).subspan(r * scales, scales), values.subspan(r * width, width));
}

StoredRows quantised(RowKind kind, std::span<const float> values, int64_t rows, int64_t width) {
  const RowForm form{kind};
  GAGGLE_CHECK(kind != RowKind::gguf && takes(form, width) && static_cast<int64_t>(values.size()) == rows * width);
  const auto bytes = static_cast<size_t>(code_bytes(form, width));
  const auto scales = static_cast<size_t>(scale_count(form, width));
  const auto count = static_cast<size_t>(rows), of_row = static_cast<size_t>(width);
  StoredRows stored{form, rows, width, std::vector<std::byte>(count * bytes), std::vector<float>(count * scales)};
  for (size_t r = 0; r < count; ++r) {
    const std::span<const float> row = values.subspan(r * of_row, of_row);
    (kind == RowKind::int8 ? to_int8 : to_nf4)(row, &stored.codes[r * bytes], &stored.scales[r * scales]);
  }
  return stored;
}

}  // namespace gaggle
