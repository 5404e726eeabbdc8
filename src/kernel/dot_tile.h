// Dot products of up to four rows with four others through the compilers' vector extension.
#pragma once

#include "kernel/simd.h"

namespace gaggle::simd {

inline constexpr int64_t tile_side = 4;

template <int rows, class X, class A>
GAGGLE_SHARED void dot_step(const X* const* x, const A* const* a, int64_t at, int64_t left, Floats (&sum)[lanes]) {
  Floats as[tile_side], v;
  for (int64_t c = 0; c < tile_side; ++c) load(a[c] + at, left, as[c]);
  for (int64_t r = 0; r < rows; ++r) {
    load(x[r] + at, left, v);
    for (int64_t c = 0; c < tile_side; ++c) sum[tile_side * r + c] += v * as[c];
  }
}

template <int rows, class X, class A>
GAGGLE_SHARED void dot_rows(const X* const* x, const A* const* a, int64_t d, Floats& y) {
  Floats sum[lanes]{};
  int64_t i = 0;
  for (; i + lanes <= d; i += lanes) dot_step<rows>(x, a, i, lanes, sum);
  if (i < d) dot_step<rows>(x, a, i, d - i, sum);
  sums(sum, y);
}

// y[4r + c] ← x[r] · a[c] over d values, r < rows ≤ 4, c < 4. A product's bits do not depend on the others.
template <class X, class A>
GAGGLE_SHARED void dot_tile(int64_t rows, const X* const* x, const A* const* a, int64_t d, Floats& y) {
  if (rows == 4) return dot_rows<4>(x, a, d, y);
  if (rows == 3) return dot_rows<3>(x, a, d, y);
  if (rows == 2) return dot_rows<2>(x, a, d, y);
  return dot_rows<1>(x, a, d, y);
}

// The rows of a matrix [n, d] that a tile takes from `first` on; the last row stands for those behind it.
template <class A>
GAGGLE_SHARED void tile_rows(const A* matrix, int64_t first, int64_t n, int64_t d, const A* (&rows)[tile_side]) {
  for (int64_t c = 0; c < tile_side; ++c) rows[c] = matrix + (first + c < n ? first + c : n - 1) * d;
}

// A tile of rows and columns, of which so many are there, to a matrix with rows of `stride`.
GAGGLE_SHARED void put_tile(const Floats& tile, float* to, int64_t stride, int64_t rows, int64_t columns) {
  for (int64_t r = 0; r < tile_side && r < rows; ++r)
    for (int64_t c = 0; c < tile_side && c < columns; ++c) to[r * stride + c] = tile[tile_side * r + c];
}

}  // namespace gaggle::simd
