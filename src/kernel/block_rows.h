// Rows of a tensor as the cells and lanes of kernel/block_product, and the way back.
#pragma once

#include "kernel/block_product.h"

namespace gaggle::tiles {

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
// Rows lie far apart in memory, which the processor does not foresee: while row i of the rows up to `end` is read, a
// later one is fetched.
template <class X>
GAGGLE_SHARED void fetch_ahead(const Rows<X>& rows, int64_t i, int64_t end, int64_t d) {
  constexpr int64_t ahead = 16, line = 64 / static_cast<int64_t>(sizeof(X));
  if (i + ahead >= end) return;
  const X* later = row_of(rows, i + ahead);
  for (int64_t c = 0; c < d; c += line) __builtin_prefetch(later + c);
}

// Rows [first, first + n) of d values, in cells along the rows, [n, cells(d)], and, for sums over the rows, across them,
// [cells(n), d]: the same where a cell has one value.
template <class X>
GAGGLE_SHARED void read_along(const Rows<X>& rows, int64_t first, int64_t n, int64_t d, float* out) {
  simd::Floats v;
  for (int64_t i = 0; i < n; ++i) {
    fetch_ahead(rows, first + i, first + n, d);
    for (int64_t c = 0; c < d; c += simd::lanes) {
      simd::load(row_of(rows, first + i) + c, d - c, v);
      simd::store(out + i * d + c, d - c, v);
    }
  }
}
template <class X>
GAGGLE_SHARED void read_across(const Rows<X>& rows, int64_t first, int64_t n, int64_t d, float* out) {
  read_along(rows, first, n, d, out);
}

// Rows [first, first + n), times factor, become lanes: out [cells(d), width]. Lanes from n on are 0.
template <class X>
GAGGLE_SHARED void read_lanes(const Rows<X>& rows, int64_t first, int64_t n, int64_t d, float factor, float* out) {
  simd::Floats v;
  std::memset(out, 0, static_cast<size_t>(d * width) * sizeof(float));
  for (int64_t i = 0; i < n; ++i) {
    fetch_ahead(rows, first + i, first + n, d);
    for (int64_t c = 0; c < d; c += simd::lanes) {
      simd::load(row_of(rows, first + i) + c, d - c, v);
      for (int64_t j = 0; j < simd::lanes && c + j < d; ++j) out[(c + j) * width + i] = factor * v[j];
    }
  }
}

// n rows of scores as cells across them, in place.
template <class Kind>
GAGGLE_SHARED typename Kind::Cell* to_cells(int64_t n, float* scores);
template <>
GAGGLE_SHARED float* to_cells<Singles>(int64_t, float* scores) {
  return scores;
}

#ifdef GAGGLE_BF16_DOT

GAGGLE_SHARED void read_along(const Rows<simd::Bf16>& rows, int64_t first, int64_t n, int64_t d, uint32_t* out) {
  simd::Halves v;
  for (int64_t i = 0; i < n; ++i) {
    fetch_ahead(rows, first + i, first + n, d);
    auto* row = reinterpret_cast<uint16_t*>(out + i * cells<Pairs>(d));
    for (int64_t c = 0; c < d; c += simd::lanes) {
      simd::load(row_of(rows, first + i) + c, d - c, v);
      simd::store_first(row + c, d - c + d % 2, v);
    }
  }
}
GAGGLE_SHARED void read_across(const Rows<simd::Bf16>& rows, int64_t first, int64_t n, int64_t d, uint32_t* out) {
  simd::Halves even, odd{};
  for (int64_t i = 0; i < n; i += 2) {
    fetch_ahead(rows, first + i, first + n, d);
    fetch_ahead(rows, first + i + 1, first + n, d);
    for (int64_t c = 0; c < d; c += simd::lanes) {
      simd::load(row_of(rows, first + i) + c, d - c, even);
      simd::load(row_of(rows, first + (i + 1 < n ? i + 1 : i)) + c, i + 1 < n ? d - c : 0, odd);
      const simd::Words pairs = __builtin_convertvector(even, simd::Words) | __builtin_convertvector(odd, simd::Words)
                                                                                 << 16;
      simd::store_first(out + i / 2 * d + c, d - c, pairs);
    }
  }
}

GAGGLE_SHARED void read_lanes(const Rows<simd::Bf16>& rows, int64_t first, int64_t n, int64_t d, float factor,
                              uint32_t* out) {
  simd::Floats v;
  simd::Bf16 rounded[simd::lanes];
  uint32_t pairs[simd::lanes / 2];
  std::memset(out, 0, static_cast<size_t>(cells<Pairs>(d) * width) * sizeof *out);
  for (int64_t i = 0; i < n; ++i) {
    fetch_ahead(rows, first + i, first + n, d);
    for (int64_t c = 0; c < d; c += simd::lanes) {
      simd::load(row_of(rows, first + i) + c, d - c, v);
      v *= factor;
      simd::store(rounded, simd::lanes, v);
      std::memcpy(pairs, rounded, sizeof pairs);
      for (int64_t j = 0; j < simd::lanes / 2 && c + 2 * j < d; ++j) out[(c / 2 + j) * width + i] = pairs[j];
    }
  }
}

template <>
GAGGLE_SHARED uint32_t* to_cells<Pairs>(int64_t n, float* scores) {
  auto* pairs = reinterpret_cast<uint32_t*>(scores);
  simd::Floats v;
  simd::Words even, odd{};
  for (int64_t j = 0; j < n; j += 2)
    for (int64_t c = 0; c < width; c += simd::lanes) {
      simd::load(scores + j * width + c, simd::lanes, v);
      simd::round_to_bf16(v, even);
      if (j + 1 < n) {
        simd::load(scores + (j + 1) * width + c, simd::lanes, v);
        simd::round_to_bf16(v, odd);
      }
      even |= j + 1 < n ? odd << 16 : simd::Words{};
      std::memcpy(pairs + j / 2 * width + c, &even, sizeof even);
    }
  return pairs;
}

#endif

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
