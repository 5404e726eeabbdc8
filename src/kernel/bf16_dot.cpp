#include "kernel/bf16_dot.h"

#include <algorithm>

#include "base/error.h"
#include "kernel/dot_tile.h"

#ifdef GAGGLE_BF16_DOT
#include <immintrin.h>
#endif

namespace gaggle {

#ifdef GAGGLE_BF16_DOT
namespace {

using simd::Bf16;
using simd::Floats;
using simd::tile_side;

constexpr int64_t halves = 32;   // bf16 in a vector
constexpr int64_t ahead = 4096;  // the pairs lie one behind the other and are often read once: so far ahead

#define GAGGLE_BF16_PART GAGGLE_BF16_DOT inline __attribute__((always_inline))

GAGGLE_BF16_PART __mmask32 first_of(int64_t left) { return left >= halves ? ~0u : (1u << left) - 1; }

template <int rows>
GAGGLE_BF16_PART void dot_step(const Bf16* const* x, const Bf16* const* a, int64_t at, __mmask32 mask,
                               __m512 (&sum)[simd::lanes]) {
  __m512bh as[tile_side];
  for (int64_t c = 0; c < tile_side; ++c) {
    as[c] = (__m512bh)_mm512_maskz_loadu_epi16(mask, a[c] + at);
    __builtin_prefetch(a[c] + at + ahead);
  }
  for (int64_t r = 0; r < rows; ++r) {
    const __m512bh v = (__m512bh)_mm512_maskz_loadu_epi16(mask, x[r] + at);
    for (int64_t c = 0; c < tile_side; ++c) sum[tile_side * r + c] = _mm512_dpbf16_ps(sum[tile_side * r + c], v, as[c]);
  }
}

template <int rows>
GAGGLE_BF16_PART void dot_rows(const Bf16* const* x, const Bf16* const* a, int64_t d, Floats& y) {
  __m512 sum[simd::lanes]{};
  int64_t i = 0;
  for (; i + halves <= d; i += halves) dot_step<rows>(x, a, i, ~0u, sum);
  if (i < d) dot_step<rows>(x, a, i, first_of(d - i), sum);
  Floats all[simd::lanes];
  for (int64_t j = 0; j < simd::lanes; ++j) all[j] = (Floats)sum[j];
  simd::sums(all, y);
}

template <int rows>
GAGGLE_BF16_DOT void hidden_rows(const RoutedTile<Bf16>& tile, Bf16* h, int64_t stride) {
  const Bf16 *xs[rows], *as[tile_side];
  Bf16 rounded[simd::lanes];
  Floats dots, weights{};
  for (int64_t i = 0; i < rows; ++i) {
    xs[i] = tile.x + tile.rows[i].token * tile.d_in;
    for (int64_t c = 0; c < tile_side; ++c) weights[tile_side * i + c] = tile.rows[i].weight;
  }
  for (int64_t q = 0; q < tile.rank; q += tile_side) {
    simd::tile_rows(tile.a, q, tile.rank, tile.d_in, as);
    dot_rows<rows>(xs, as, tile.d_in, dots);
    dots *= weights;
    simd::store(rounded, simd::lanes, dots);
    const int64_t left = std::min(tile_side, tile.rank - q);
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t c = 0; c < left + left % 2; ++c)
        h[i * stride + q + c] = c < left ? rounded[tile_side * i + c] : Bf16{0};
  }
}

// The pairs (even[i], odd[i]) of the first sixteen columns and of the others.
GAGGLE_BF16_PART void pairs_of(__m512i even, __m512i odd, __m512i& low, __m512i& high) {
  using Shorts = uint16_t __attribute__((vector_size(64)));
  const auto a = (Shorts)even, b = (Shorts)odd;
  low = (__m512i)__builtin_shufflevector(a, b, 0, 32, 1, 33, 2, 34, 3, 35, 4, 36, 5, 37, 6, 38, 7, 39, 8, 40, 9, 41, 10,
                                         42, 11, 43, 12, 44, 13, 45, 14, 46, 15, 47);
  high = (__m512i)__builtin_shufflevector(a, b, 16, 48, 17, 49, 18, 50, 19, 51, 20, 52, 21, 53, 22, 54, 23, 55, 24, 56,
                                          25, 57, 26, 58, 27, 59, 28, 60, 29, 61, 30, 62, 31, 63);
}

// The sum of one row in up to 32 columns goes where it belongs.
GAGGLE_BF16_PART void put(const RoutedTile<Bf16>& tile, const RoutedColumns& columns, int64_t i, int64_t column,
                          __m512 low, __m512 high) {
  const RoutedRow& row = tile.rows[i];
  float* kept = columns.sums + row.token * columns.width + column - columns.begin;
  if (!row.first) {
    low = _mm512_add_ps(_mm512_loadu_ps(kept), low);
    high = _mm512_add_ps(_mm512_loadu_ps(kept + simd::lanes), high);
  }
  if (!row.last) {
    _mm512_storeu_ps(kept, low);
    return _mm512_storeu_ps(kept + simd::lanes, high);
  }
  Bf16* y = tile.y + row.token * tile.d_out + column;
  const __mmask32 mask = first_of(columns.end - column);
  __m512i first, second;  // a bf16 is the upper half of its fp32
  pairs_of(_mm512_setzero_si512(), _mm512_maskz_loadu_epi16(mask, y), first, second);
  low = _mm512_add_ps((__m512)first, low);
  high = _mm512_add_ps((__m512)second, high);
  _mm512_mask_storeu_epi16(y, mask, (__m512i)_mm512_cvtne2ps_pbh(high, low));
}

// The sums of rows in up to 32 columns, for the ranks q and q + 1; b points to their rows of Bᵀ.
template <int rows>
GAGGLE_BF16_PART void add_pair(const Bf16* b, const Bf16* next, const Bf16* h, int64_t stride, __mmask32 mask,
                               __mmask32 next_mask, __m512 (&low)[rows], __m512 (&high)[rows]) {
  __m512i b_low, b_high;
  pairs_of(_mm512_maskz_loadu_epi16(mask, b), _mm512_maskz_loadu_epi16(next_mask, next), b_low, b_high);
  for (int64_t i = 0; i < rows; ++i) {
    int32_t pair;
    std::memcpy(&pair, h + i * stride, sizeof pair);
    const auto both = (__m512bh)_mm512_set1_epi32(pair);
    low[i] = _mm512_dpbf16_ps(low[i], (__m512bh)b_low, both);
    high[i] = _mm512_dpbf16_ps(high[i], (__m512bh)b_high, both);
  }
}

template <int rows>
GAGGLE_BF16_DOT void output_rows(const RoutedTile<Bf16>& tile, const Bf16* h, int64_t stride,
                                 const RoutedColumns& columns) {
  const int64_t rank = tile.rank, d_out = tile.d_out;
  for (int64_t column = columns.begin; column < columns.end; column += halves) {
    const __mmask32 mask = first_of(columns.end - column);
    for (int64_t i = 0; i < rows; ++i)  // of the rows that come next
      __builtin_prefetch(tile.y + tile.rows[rows + i].token * d_out + column);
    __m512 low[rows]{}, high[rows]{};
    const Bf16* b = tile.bt + column;
    int64_t q = 0;
    for (; q + 1 < rank; q += 2, b += 2 * d_out) {
      __builtin_prefetch(b + rank * d_out);  // of the expert that comes next
      __builtin_prefetch(b + (rank + 1) * d_out);
      add_pair(b, b + d_out, h + q, stride, mask, mask, low, high);
    }
    if (q < rank) add_pair(b, b, h + q, stride, mask, 0, low, high);
    for (int64_t i = 0; i < rows; ++i) put(tile, columns, i, column, low[i], high[i]);
  }
}

GAGGLE_BF16_DOT void rough_tiles(const Bf16* x, int64_t n, const Bf16* directions, int64_t count, int64_t d, float* y) {
  const Bf16 *xs[tile_side], *as[tile_side];
  Floats tile;
  for (int64_t c = 0; c < count; c += tile_side) {
    simd::tile_rows(directions, c, count, d, as);
    for (int64_t t = 0; t < n; t += tile_side) {
      simd::tile_rows(x, t, n, d, xs);
      dot_rows<tile_side>(xs, as, d, tile);
      simd::put_tile(tile, y + t * count + c, count, n - t, count - c);
    }
  }
}

}  // namespace

bool has_bf16_dot() {
  static const bool has = __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  return has;
}
bool has_bf16_tiles() {
  static const bool has = __builtin_cpu_supports("amx-bf16");
  return has;
}

void hidden_tile_bf16(const RoutedTile<Bf16>& tile, Bf16* h, int64_t stride) {
  constexpr decltype(&hidden_rows<1>) by_rows[] = {hidden_rows<1>, hidden_rows<2>, hidden_rows<3>, hidden_rows<4>};
  by_rows[tile.count - 1](tile, h, stride);
}

void output_tile_bf16(const RoutedTile<Bf16>& tile, const Bf16* h, int64_t stride, const RoutedColumns& columns) {
  constexpr decltype(&output_rows<1>) by_rows[] = {output_rows<1>, output_rows<2>, output_rows<3>, output_rows<4>};
  by_rows[tile.count - 1](tile, h, stride, columns);
}

void rough_dots(const Bf16* x, int64_t n, const Bf16* directions, int64_t count, int64_t d, float* y) {
  rough_tiles(x, n, directions, count, d, y);
}

#else

bool has_bf16_dot() { return false; }
bool has_bf16_tiles() { return false; }
void hidden_tile_bf16(const RoutedTile<simd::Bf16>&, simd::Bf16*, int64_t) { GAGGLE_CHECK(false); }
void output_tile_bf16(const RoutedTile<simd::Bf16>&, const simd::Bf16*, int64_t, const RoutedColumns&) {
  GAGGLE_CHECK(false);
}
void rough_dots(const simd::Bf16*, int64_t, const simd::Bf16*, int64_t, int64_t, float*) { GAGGLE_CHECK(false); }

#endif

}  // namespace gaggle
