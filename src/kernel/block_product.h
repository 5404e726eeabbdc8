// The product of blocks of 64 columns ("lanes", side by side in memory) on one thread, of which a long row's attention is
// made (kernel/attention_blocks). Sums are fp32; what is multiplied lies in cells: one float each (Singles), or two bf16
// whose products are added at once (Pairs).
#pragma once

#include "kernel/simd.h"

namespace gaggle::tiles {

inline constexpr int64_t width = 64;   // lanes of a block
inline constexpr int64_t depth = 128;  // most rows of a block that meet a block of lanes at once

// What sums and scores are computed with. Not simd::Floats: g++ takes vectors that are wider than the processor's apart
// into memory and single floats (AVX2: 30 times slower); on Zen 4 with AVX-512 these are within a tenth of it.
#if defined(__x86_64__)
inline constexpr int64_t vector_bytes = 32;
#else
inline constexpr int64_t vector_bytes = 16;
#endif
using Vector = float __attribute__((vector_size(vector_bytes)));
using VectorWords = uint32_t __attribute__((vector_size(vector_bytes)));
inline constexpr int64_t lanes = vector_bytes / static_cast<int64_t>(sizeof(float));

GAGGLE_SHARED void load(const float* p, Vector& x) { std::memcpy(&x, p, sizeof x); }
GAGGLE_SHARED void store(float* p, const Vector& x) { std::memcpy(p, &x, sizeof x); }

// 2^x for x < 127, and 0 for x <= -127: a power of two times a polynomial on [-1/2, 1/2] (Cephes' coefficients).
// NaN stays NaN. Cheaper than exp.
GAGGLE_SHARED void exp2(const Vector& x, Vector& y) {
  const Vector low = Vector{} - 127.0f;
  const Vector c = x < low ? low : x;
  const float magic = 12582912.0f;  // 1.5 · 2^23: adding it rounds to a whole number
  const Vector shifted = c + magic;
  const Vector r = c - (shifted - magic);
  Vector p = r * 1.535336188319500e-4f + 1.339887440266574e-3f;
  p = p * r + 9.618437357674640e-3f;
  p = p * r + 5.550332471162809e-2f;
  p = p * r + 2.402264791363012e-1f;
  p = p * r + 6.931472028550421e-1f;
  p = p * r + 1.0f;
  VectorWords bits;
  std::memcpy(&bits, &shifted, sizeof bits);
  bits = (bits + (127u - 0x4b400000u)) << 23;
  Vector power;
  std::memcpy(&power, &bits, sizeof power);
  y = p * power;
}

// A cell is a float. Two vectors of sums for each of four rows stay in registers (AVX2: 8 of 16).
struct Singles {
  using Cell = float;
  using Sums = Vector;
  static constexpr int64_t values = 1, rows = 4, vectors = 2;
  static GAGGLE_SHARED void add(const Cell& a, const float* b, Sums& sums) {
    Vector v;
    load(b, v);
    sums += a * v;
  }
};

#ifdef GAGGLE_BF16_DOT
// A cell is two bf16 that meet two others, the first in its lower half; for processors with AVX512-BF16.
struct Pairs {
  using Cell = uint32_t;
  using Sums = simd::Floats;
  static constexpr int64_t values = 2, rows = 6, vectors = 4;
  // Not the compiler's own function: what calls that has to be compiled for such processors alone.
  static GAGGLE_SHARED void add(const Cell& a, const Cell* b, Sums& sums) {
    simd::Words v;
    std::memcpy(&v, b, sizeof v);
    Sums sum = sums;
    asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(v), "v"(simd::Words{} + a));
    sums = sum;
  }
};
#endif

// How many cells n values take.
template <class Kind>
constexpr int64_t cells(int64_t n) {
  return (n + Kind::values - 1) / Kind::values;
}

template <class Kind, int64_t count>
GAGGLE_SHARED void multiply_rows(const typename Kind::Cell* a, int64_t row_step, int64_t step, int64_t n,
                                 const typename Kind::Cell* b, float* out, bool add) {
  using Sums = typename Kind::Sums;
  constexpr int64_t vectors = Kind::vectors, in_vector = static_cast<int64_t>(sizeof(Sums) / sizeof(float));
  for (int64_t c = 0; c < width; c += vectors * in_vector) {
    Sums sums[count][vectors]{};
    for (int64_t r = 0; add && r < count; ++r)
      for (int64_t i = 0; i < vectors; ++i) std::memcpy(&sums[r][i], out + r * width + c + i * in_vector, sizeof(Sums));
    for (int64_t j = 0; j < n; ++j)
      for (int64_t r = 0; r < count; ++r)
        for (int64_t i = 0; i < vectors; ++i)
          Kind::add(a[r * row_step + j * step], b + j * width + c + i * in_vector, sums[r][i]);
    for (int64_t r = 0; r < count; ++r)
      for (int64_t i = 0; i < vectors; ++i) std::memcpy(out + r * width + c + i * in_vector, &sums[r][i], sizeof(Sums));
  }
}

// out[r] ← Σ_j a[r · row_step + j · step] · b[j] for r < rows and n cells j; with `add` on top of what is there.
// b [n, width], out [rows, width].
template <class Kind>
GAGGLE_SHARED void multiply(const typename Kind::Cell* a, int64_t row_step, int64_t step, int64_t rows, int64_t n,
                            const typename Kind::Cell* b, float* out, bool add) {
  int64_t r = 0;
  for (; r + Kind::rows <= rows; r += Kind::rows)
    multiply_rows<Kind, Kind::rows>(a + r * row_step, row_step, step, n, b, out + r * width, add);
  for (; r < rows; ++r) multiply_rows<Kind, 1>(a + r * row_step, row_step, step, n, b, out + r * width, add);
}

}  // namespace gaggle::tiles
