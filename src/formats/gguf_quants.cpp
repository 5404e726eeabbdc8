// ggml's block types → fp32, in the order of operations of its reference (so the bits are equal too).
#include <algorithm>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "formats/gguf.h"
#include "formats/half.h"

namespace gaggle {
namespace {

using Bytes = const uint8_t*;

template <class T>
T load(Bytes bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof(T));
  return value;
}

float half_at(Bytes bytes) { return f16_to_float(load<uint16_t>(bytes)); }

// 32 values: low nibbles are values 0-15, high ones 16-31; in Q5 `fifth` has a bit more of each.
template <class Value>
void read_nibbles(Bytes nibbles, uint32_t fifth, float* y, const Value& value) {
  for (int i = 0; i < 16; ++i) {
    const int q = nibbles[i];
    y[i] = value((q & 15) | static_cast<int>((fifth >> i) & 1) << 4);
    y[i + 16] = value((q >> 4) | static_cast<int>((fifth >> (i + 16)) & 1) << 4);
  }
}

void read_q4_0(Bytes block, float* y) {
  const float d = half_at(block);
  read_nibbles(block + 2, 0, y, [&](int q) { return d * static_cast<float>(q - 8); });
}

void read_q4_1(Bytes block, float* y) {
  const float d = half_at(block), m = half_at(block + 2);
  read_nibbles(block + 4, 0, y, [&](int q) { return d * static_cast<float>(q) + m; });
}

void read_q5_0(Bytes block, float* y) {
  const float d = half_at(block);
  read_nibbles(block + 6, load<uint32_t>(block + 2), y, [&](int q) { return d * static_cast<float>(q - 16); });
}

void read_q5_1(Bytes block, float* y) {
  const float d = half_at(block), m = half_at(block + 2);
  read_nibbles(block + 8, load<uint32_t>(block + 4), y, [&](int q) { return d * static_cast<float>(q) + m; });
}

void read_q8_0(Bytes block, float* y) {
  const float d = half_at(block);
  for (int i = 0; i < 32; ++i) y[i] = static_cast<float>(static_cast<int8_t>(block[2 + i])) * d;
}

// Q4_K and Q5_K: eight 6-bit scales and minima in 12 bytes; those of groups 4-7 are split over two bytes.
std::pair<int, int> scale_min(Bytes packed, int group) {
  if (group < 4) return {packed[group] & 63, packed[group + 4] & 63};
  return {(packed[group + 4] & 15) | (packed[group - 4] >> 6) << 4, (packed[group + 4] >> 4) | (packed[group] >> 6)
                                                                                                   << 4};
}

// `fifth`: a bit more of each value, for each group a bit of 32 bytes; null: none.
void read_scaled_groups(Bytes block, Bytes fifth, Bytes nibbles, float* y) {
  const float d = half_at(block), dmin = half_at(block + 2);
  for (int group = 0; group < 8; ++group) {
    const auto [group_scale, group_min] = scale_min(block + 4, group);
    const float scale = d * static_cast<float>(group_scale), min = dmin * static_cast<float>(group_min);
    const Bytes q = nibbles + group / 2 * 32;
    for (int i = 0; i < 32; ++i) {
      const int low = group % 2 == 0 ? q[i] & 15 : q[i] >> 4;
      const int high = fifth ? (fifth[i] >> group) & 1 : 0;
      y[group * 32 + i] = scale * static_cast<float>(low | high << 4) - min;
    }
  }
}

// 128 bytes of low nibbles, 64 of upper bit pairs, 16 signed scales, d.
void read_q6_k(Bytes block, float* y) {
  const float d = half_at(block + 208);
  for (int group = 0; group < 8; ++group) {
    const int half = group / 4, part = group % 4;
    const Bytes low = block + half * 64 + part % 2 * 32;
    const Bytes high = block + 128 + half * 32;
    for (int i = 0; i < 32; ++i) {
      const float scale = d * static_cast<float>(static_cast<int8_t>(block[192 + group * 2 + i / 16]));
      const int nibble = part < 2 ? low[i] & 15 : low[i] >> 4;
      y[group * 32 + i] = scale * static_cast<float>((nibble | ((high[i] >> (2 * part)) & 3) << 4) - 32);
    }
  }
}

// 16 bytes of a 4-bit scale and a 4-bit minimum, for 16 values each; 64 bytes of bit pairs; d, dmin.
void read_q2_k(Bytes block, float* y) {
  const float d = half_at(block + 80), dmin = half_at(block + 82);
  for (int group = 0; group < 16; ++group) {
    const float scale = d * static_cast<float>(block[group] & 15), min = dmin * static_cast<float>(block[group] >> 4);
    const Bytes q = block + 16 + group / 8 * 32 + group % 2 * 16;
    for (int i = 0; i < 16; ++i) *y++ = scale * static_cast<float>((q[i] >> (group / 2 % 4 * 2)) & 3) - min;
  }
}

// 32 bytes of a third bit, 64 of bit pairs, 12 of sixteen 6-bit scales, d. Where the third bit is not set, 4 is taken
// away. A scale's low nibble is in bytes 0-7, its high bit pair in bytes 8-11.
void read_q3_k(Bytes block, float* y) {
  const float d = half_at(block + 108);
  const Bytes scales = block + 96;
  for (int group = 0; group < 16; ++group) {
    const int low = (scales[group % 8] >> (group / 8 * 4)) & 15, high = (scales[8 + group % 4] >> (group / 4 * 2)) & 3;
    const float scale = d * static_cast<float>((low | high << 4) - 32);
    const Bytes third = block + group % 2 * 16, q = block + 32 + group / 8 * 32 + group % 2 * 16;
    for (int i = 0; i < 16; ++i) {
      const int less = (third[i] >> (group / 2)) & 1 ? 0 : 4;
      *y++ = scale * static_cast<float>(((q[i] >> (group / 2 % 4 * 2)) & 3) - less);
    }
  }
}

// The 16 values that a nibble of IQ4_NL and IQ4_XS stands for.
constexpr float iq4_values[] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

void read_iq4_nl(Bytes block, float* y) {
  const float d = half_at(block);
  read_nibbles(block + 2, 0, y, [&](int q) { return d * iq4_values[q]; });
}

// d, the high bit pairs of eight 6-bit scales in 2 bytes, their low nibbles in 4, and 128 bytes of nibbles.
void read_iq4_xs(Bytes block, float* y) {
  const float d = half_at(block);
  const auto high = load<uint16_t>(block + 2);
  for (int group = 0; group < 8; ++group) {
    const int low = (block[4 + group / 2] >> (group % 2 * 4)) & 15;
    const float scale = d * static_cast<float>((low | ((high >> (2 * group)) & 3) << 4) - 32);
    read_nibbles(block + 8 + group * 16, 0, y + group * 32, [&](int q) { return scale * iq4_values[q]; });
  }
}

struct Reading {
  GgufType type;
  GgufBlock block;
  void (*read)(Bytes, float*);
};
constexpr Reading readings[] = {
    {GgufType::f32, {1, 4}, [](Bytes block, float* y) { *y = load<float>(block); }},
    {GgufType::f16, {1, 2}, [](Bytes block, float* y) { *y = half_at(block); }},
    {GgufType::bf16, {1, 2}, [](Bytes block, float* y) { *y = bf16_to_float(load<uint16_t>(block)); }},
    {GgufType::q4_0, {32, 18}, read_q4_0},
    {GgufType::q4_1, {32, 20}, read_q4_1},
    {GgufType::q5_0, {32, 22}, read_q5_0},
    {GgufType::q5_1, {32, 24}, read_q5_1},
    {GgufType::q8_0, {32, 34}, read_q8_0},
    {GgufType::q2_k, {256, 84}, read_q2_k},
    {GgufType::q3_k, {256, 110}, read_q3_k},
    {GgufType::q4_k, {256, 144}, [](Bytes b, float* y) { read_scaled_groups(b, nullptr, b + 16, y); }},
    {GgufType::q5_k, {256, 176}, [](Bytes b, float* y) { read_scaled_groups(b, b + 16, b + 48, y); }},
    {GgufType::q6_k, {256, 210}, read_q6_k},
    {GgufType::iq4_nl, {32, 18}, read_iq4_nl},
    {GgufType::iq4_xs, {256, 136}, read_iq4_xs}};

const Reading& reading(GgufType type) {
  const auto* found = std::ranges::find(readings, type, &Reading::type);
  GAGGLE_CHECK(found != std::end(readings), "GGUF type {}", static_cast<uint32_t>(type));
  return *found;
}

}  // namespace

bool is_read(uint32_t number) {
  return std::ranges::find(readings, static_cast<GgufType>(number), &Reading::type) != std::end(readings);
}

GgufBlock gguf_block(GgufType type) { return reading(type).block; }

void dequantize(GgufType type, std::span<const std::byte> bytes, std::span<float> values) {
  const auto [unused, block, read] = reading(type);
  const auto width = static_cast<size_t>(block.values), step = static_cast<size_t>(block.bytes);
  GAGGLE_CHECK(values.size() % width == 0 && bytes.size() == values.size() / width * step, "{} bytes, {} values",
               bytes.size(), values.size());
  auto from = reinterpret_cast<Bytes>(bytes.data());
  float* to = values.data();
  for (size_t i = 0; i < values.size() / width; ++i) read(from + i * step, to + i * width);
}

}  // namespace gaggle
