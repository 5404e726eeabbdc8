// ggml's block types → fp32, in the order of operations of its reference (so the bits are equal too).
#include <cstring>

#include "base/error.h"
#include "formats/gguf.h"
#include "formats/half.h"

namespace gaggle {
namespace {

using Bytes = const uint8_t*;

float half_at(Bytes bytes) {
  uint16_t bits;
  std::memcpy(&bits, bytes, sizeof(bits));
  return f16_to_float(bits);
}

uint32_t word_at(Bytes bytes) {
  uint32_t word;
  std::memcpy(&word, bytes, sizeof(word));
  return word;
}

void read_f32(Bytes block, float* y) {
  std::memcpy(y, block, sizeof(float));
}

void read_f16(Bytes block, float* y) {
  *y = half_at(block);
}

void read_bf16(Bytes block, float* y) {
  uint16_t bits;
  std::memcpy(&bits, block, sizeof(bits));
  *y = bf16_to_float(bits);
}

// d, then 32 nibbles: low ones are values 0-15, high ones 16-31.
void read_q4_0(Bytes block, float* y) {
  const float d = half_at(block);
  for (int i = 0; i < 16; ++i) {
    const int q = block[2 + i];
    y[i] = d * static_cast<float>((q & 15) - 8);
    y[i + 16] = d * static_cast<float>((q >> 4) - 8);
  }
}

void read_q4_1(Bytes block, float* y) {
  const float d = half_at(block), m = half_at(block + 2);
  for (int i = 0; i < 16; ++i) {
    const int q = block[4 + i];
    y[i] = d * static_cast<float>(q & 15) + m;
    y[i + 16] = d * static_cast<float>(q >> 4) + m;
  }
}

// As Q4, and a fifth bit per value in a word of 32.
void read_q5_0(Bytes block, float* y) {
  const float d = half_at(block);
  const uint32_t fifth = word_at(block + 2);
  for (int i = 0; i < 16; ++i) {
    const int q = block[6 + i];
    y[i] = d * static_cast<float>(((q & 15) | static_cast<int>((fifth >> i) & 1) << 4) - 16);
    y[i + 16] = d * static_cast<float>(((q >> 4) | static_cast<int>((fifth >> (i + 16)) & 1) << 4) - 16);
  }
}

void read_q5_1(Bytes block, float* y) {
  const float d = half_at(block), m = half_at(block + 2);
  const uint32_t fifth = word_at(block + 4);
  for (int i = 0; i < 16; ++i) {
    const int q = block[8 + i];
    y[i] = d * static_cast<float>((q & 15) | static_cast<int>((fifth >> i) & 1) << 4) + m;
    y[i + 16] = d * static_cast<float>((q >> 4) | static_cast<int>((fifth >> (i + 16)) & 1) << 4) + m;
  }
}

void read_q8_0(Bytes block, float* y) {
  const float d = half_at(block);
  for (int i = 0; i < 32; ++i) y[i] = static_cast<float>(static_cast<int8_t>(block[2 + i])) * d;
}

// Q4_K and Q5_K: eight 6-bit scales and minima in 12 bytes; those of groups 4-7 are split over two bytes.
struct ScaleMin {
  float scale, min;
};

ScaleMin scale_min(Bytes packed, int group) {
  int scale, min;
  if (group < 4) {
    scale = packed[group] & 63;
    min = packed[group + 4] & 63;
  } else {
    scale = (packed[group + 4] & 15) | (packed[group - 4] >> 6) << 4;
    min = (packed[group + 4] >> 4) | (packed[group] >> 6) << 4;
  }
  return {static_cast<float>(scale), static_cast<float>(min)};
}

void read_q4_k(Bytes block, float* y) {
  const float d = half_at(block), dmin = half_at(block + 2);
  for (int group = 0; group < 8; ++group) {
    const ScaleMin s = scale_min(block + 4, group);
    const float scale = d * s.scale, min = dmin * s.min;
    const Bytes q = block + 16 + group / 2 * 32;
    for (int i = 0; i < 32; ++i) {
      const int low = group % 2 == 0 ? q[i] & 15 : q[i] >> 4;
      y[group * 32 + i] = scale * static_cast<float>(low) - min;
    }
  }
}

void read_q5_k(Bytes block, float* y) {
  const float d = half_at(block), dmin = half_at(block + 2);
  const Bytes fifth = block + 16;
  for (int group = 0; group < 8; ++group) {
    const ScaleMin s = scale_min(block + 4, group);
    const float scale = d * s.scale, min = dmin * s.min;
    const Bytes q = block + 48 + group / 2 * 32;
    for (int i = 0; i < 32; ++i) {
      const int low = group % 2 == 0 ? q[i] & 15 : q[i] >> 4;
      y[group * 32 + i] = scale * static_cast<float>(low | ((fifth[i] >> group) & 1) << 4) - min;
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

struct Reading {
  GgufBlock block;
  void (*read)(Bytes, float*);
};

Reading reading(GgufType type) {
  switch (type) {
    case GgufType::f32:
      return {{1, 4}, read_f32};
    case GgufType::f16:
      return {{1, 2}, read_f16};
    case GgufType::bf16:
      return {{1, 2}, read_bf16};
    case GgufType::q4_0:
      return {{32, 18}, read_q4_0};
    case GgufType::q4_1:
      return {{32, 20}, read_q4_1};
    case GgufType::q5_0:
      return {{32, 22}, read_q5_0};
    case GgufType::q5_1:
      return {{32, 24}, read_q5_1};
    case GgufType::q8_0:
      return {{32, 34}, read_q8_0};
    case GgufType::q4_k:
      return {{256, 144}, read_q4_k};
    case GgufType::q5_k:
      return {{256, 176}, read_q5_k};
    case GgufType::q6_k:
      return {{256, 210}, read_q6_k};
  }
  GAGGLE_CHECK(false, "GGUF type {}", static_cast<uint32_t>(type));
}

}  // namespace

GgufBlock gguf_block(GgufType type) {
  return reading(type).block;
}

void dequantize(GgufType type, std::span<const std::byte> bytes, std::span<float> values) {
  const auto [block, read] = reading(type);
  const auto width = static_cast<size_t>(block.values), step = static_cast<size_t>(block.bytes);
  GAGGLE_CHECK(values.size() % width == 0 && bytes.size() == values.size() / width * step,
               "{} bytes, {} values", bytes.size(), values.size());
  auto from = reinterpret_cast<Bytes>(bytes.data());
  float* to = values.data();
  for (size_t i = 0; i < values.size() / width; ++i) read(from + i * step, to + i * width);
}

}  // namespace gaggle
