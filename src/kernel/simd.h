// Sixteen floats at a time through the compilers' vector extension (SSE, AVX2, AVX-512 and NEON alike).
// Vectors pass by reference: by value their calling convention would depend on the processor.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernel/platform.h"

namespace gaggle::simd {

inline constexpr int64_t lanes = 16;
using Floats = float __attribute__((vector_size(64)));
using Words = uint32_t __attribute__((vector_size(64)));
using Halves = uint16_t __attribute__((vector_size(32)));

struct Bf16 {
  uint16_t bits;
};

GAGGLE_SHARED void load(const float* p, int64_t left, Floats& x) {
  if (left >= lanes) {
    std::memcpy(&x, p, sizeof x);
  } else {
    x = Floats{};
    std::memcpy(&x, p, static_cast<size_t>(left) * sizeof(float));
  }
}
// The first `left` of x, all where there are more.
template <class X, class V>
GAGGLE_SHARED void store_first(X* p, int64_t left, const V& x) {
  static_assert(sizeof x == lanes * sizeof *p);
  if (left >= lanes)
    std::memcpy(p, &x, sizeof x);
  else
    std::memcpy(p, &x, static_cast<size_t>(left) * sizeof *p);
}
GAGGLE_SHARED void store(float* p, int64_t left, const Floats& x) { store_first(p, left, x); }

GAGGLE_SHARED void load(const Bf16* p, int64_t left, Halves& half) {
  if (left >= lanes) {
    std::memcpy(&half, p, sizeof half);
  } else {
    half = Halves{};
    std::memcpy(&half, p, static_cast<size_t>(left) * sizeof(Bf16));
  }
}
GAGGLE_SHARED void load(const Bf16* p, int64_t left, Floats& x) {
  Halves half;
  load(p, left, half);
  const Words words = __builtin_convertvector(half, Words) << 16;
  std::memcpy(&x, &words, sizeof x);
}
// Round to nearest, ties to even. Values are finite here, or NaN with a payload that survives the rounding.
GAGGLE_SHARED void round_to_bf16(const Floats& x, Words& words) {
  std::memcpy(&words, &x, sizeof words);
  words = (words + 0x7fffu + ((words >> 16) & 1u)) >> 16;
}
GAGGLE_SHARED void store(Bf16* p, int64_t left, const Floats& x) {
  Words words;
  round_to_bf16(x, words);
  store_first(p, left, __builtin_convertvector(words, Halves));
}

// The lanes added as a tree.
GAGGLE_SHARED float sum(const Floats& x) {
  float a[lanes];
  std::memcpy(a, &x, sizeof a);
  for (int64_t width = lanes / 2; width > 0; width /= 2)
    for (int64_t i = 0; i < width; ++i) a[i] += a[i + width];
  return a[0];
}
// y[i] ← the lanes of x[i] added, for sixteen vectors at once. Every i adds in the same order.
GAGGLE_SHARED void sums(const Floats (&x)[lanes], Floats& y) {
  Floats fours[4];  // lane 4q + i of the n-th: a quarter of the sum of 4n + i
  for (int64_t n = 0; n < 4; ++n) {
    Floats twos[2];  // lanes (i, i + 1) of each four: halves of the quarters' sums
    for (int64_t i = 0; i < 2; ++i) {
      const Floats &a = x[4 * n + 2 * i], &b = x[4 * n + 2 * i + 1];
      twos[i] = __builtin_shufflevector(a, b, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29) +
                __builtin_shufflevector(a, b, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31);
    }
    const Floats &a = twos[0], &b = twos[1];
    fours[n] = __builtin_shufflevector(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29) +
               __builtin_shufflevector(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
  }
  Floats halves[2];
  for (int64_t i = 0; i < 2; ++i) {
    const Floats &a = fours[2 * i], &b = fours[2 * i + 1];
    halves[i] = __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27) +
                __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
  }
  const Floats &a = halves[0], &b = halves[1];
  y = __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27) +
      __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
}
GAGGLE_SHARED float largest(const Floats& x) {
  float a[lanes];
  std::memcpy(a, &x, sizeof a);
  float best = a[0];
  for (int64_t i = 1; i < lanes; ++i) best = a[i] > best ? a[i] : best;
  return best;
}

// best ← the larger of best and v in each lane, of v's first `left` lanes alone.
GAGGLE_SHARED void take_larger(const Floats& v, int64_t left, Floats& best) {
  if (left >= lanes) {
    best = v > best ? v : best;
  } else {
    for (int64_t j = 0; j < left; ++j) best[0] = v[j] > best[0] ? v[j] : best[0];
  }
}

// e^x to 2 units in the last place: 2^n · polynomial on [-ln2/2, ln2/2] (Cephes' coefficients). NaN stays NaN.
GAGGLE_SHARED void exp(const Floats& x, Floats& y) {
  const Floats low = Floats{} - 87.3f, high = Floats{} + 88.0f;
  Floats c = x < low ? low : x;
  c = c > high ? high : c;
  const float magic = 12582912.0f;  // 1.5 · 2^23: adding it rounds to a whole number
  const Floats shifted = c * 1.44269504f + magic;
  const Floats n = shifted - magic;
  const Floats r = (c - n * 0.693359375f) + n * 2.12194440e-4f;
  Floats p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  Words bits;
  std::memcpy(&bits, &shifted, sizeof bits);
  bits = (bits + (127u - 0x4b400000u)) << 23;
  Floats power;
  std::memcpy(&power, &bits, sizeof power);
  y = p * power;
}

}  // namespace gaggle::simd
