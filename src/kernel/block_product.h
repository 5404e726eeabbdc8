// Blocks of floats of 64 columns ("lanes", side by side in memory) on one thread: their product, and rows of a tensor
// read into them and written back. What a long row's attention is made of (kernel/attention_blocks).
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

// Rows of one head: row i begins at x + stride · (index ? index[i] : begin + i).
template <class X>
struct Rows {
  X* x;
  int64_t stride, begin = 0;
  const int64_t* index = nullptr;
};
template <class X>
GAGGLE_SHARED X* row_of(const Rows<X>& rows, int64_t i) {
  return rows.x + rows.stride * (rows.index ? rows.index[i] : rows.begin + i);
}

// Four rows by two vectors of sums stay in registers (AVX2: 8 of 16).
template <int64_t count>
GAGGLE_SHARED void multiply_rows(const float* a, int64_t row_step, int64_t step, int64_t n, const float* b, float* out,
                                 bool add) {
  for (int64_t c = 0; c < width; c += 2 * lanes) {
    Vector sums[count][2], left, right;
    for (int64_t r = 0; r < count; ++r)
      for (int64_t half = 0; half < 2; ++half) {
        sums[r][half] = Vector{};
        if (add) load(out + r * width + c + half * lanes, sums[r][half]);
      }
    for (int64_t j = 0; j < n; ++j) {
      load(b + j * width + c, left);
      load(b + j * width + c + lanes, right);
      for (int64_t r = 0; r < count; ++r) {
        const float factor = a[r * row_step + j * step];
        sums[r][0] += factor * left;
        sums[r][1] += factor * right;
      }
    }
    for (int64_t r = 0; r < count; ++r)
      for (int64_t half = 0; half < 2; ++half) store(out + r * width + c + half * lanes, sums[r][half]);
  }
}

// out[r] ← Σ_j a[r · row_step + j · step] · b[j] for r < rows, j < n; with `add` on top of what is there.
// b [n, width], out [rows, width].
GAGGLE_SHARED void multiply(const float* a, int64_t row_step, int64_t step, int64_t rows, int64_t n, const float* b,
                            float* out, bool add) {
  int64_t r = 0;
  for (; r + 4 <= rows; r += 4) multiply_rows<4>(a + r * row_step, row_step, step, n, b, out + r * width, add);
  for (; r < rows; ++r) multiply_rows<1>(a + r * row_step, row_step, step, n, b, out + r * width, add);
}

// Rows [first, first + n) of d values → out [n, d].
template <class X>
GAGGLE_SHARED void read(const Rows<X>& rows, int64_t first, int64_t n, int64_t d, float* out) {
  simd::Floats v;
  constexpr int64_t ahead = 8;  // rows: far apart in memory, which the processor does not foresee
  for (int64_t i = 0; i < n; ++i) {
    const X* x = row_of(rows, first + i);
    const X* later = row_of(rows, first + (i + ahead < n ? i + ahead : i));
    for (int64_t c = 0; c < d; c += simd::lanes) {
      __builtin_prefetch(later + c);
      simd::load(x + c, d - c, v);
      simd::store(out + i * d + c, d - c, v);
    }
  }
}

// Rows [first, first + n), times factor, become lanes: out [d, width]. Lanes from n on are 0.
template <class X>
GAGGLE_SHARED void read_lanes(const Rows<X>& rows, int64_t first, int64_t n, int64_t d, float factor, float* out) {
  simd::Floats v;
  std::memset(out, 0, static_cast<size_t>(d * width) * sizeof(float));
  for (int64_t i = 0; i < n; ++i)
    for (int64_t c = 0; c < d; c += simd::lanes) {
      simd::load(row_of(rows, first + i) + c, d - c, v);
      for (int64_t j = 0; j < simd::lanes && c + j < d; ++j) out[(c + j) * width + i] = factor * v[j];
    }
}

// The way back: lane i of x [d, width], times factors[i], becomes row first + i.
template <class X>
GAGGLE_SHARED void write_lanes(const Rows<X>& rows, int64_t first, int64_t n, int64_t d, const float* factors,
                               const float* x) {
  simd::Floats v{};
  for (int64_t i = 0; i < n; ++i)
    for (int64_t c = 0; c < d; c += simd::lanes) {
      for (int64_t j = 0; j < simd::lanes && c + j < d; ++j) v[j] = factors[i] * x[(c + j) * width + i];
      simd::store(row_of(rows, first + i) + c, d - c, v);
    }
}

}  // namespace gaggle::tiles
