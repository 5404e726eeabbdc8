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

// The pairs (a[i], b[i]) of the sixteen even columns i and of the odd ones: parted so, they need no shuffle.
GAGGLE_BF16_PART void pairs_of(__m512i a, __m512i b, __m512i& even, __m512i& odd) {
  constexpr __mmask32 upper = 0xaaaaaaaau;
  even = _mm512_mask_blend_epi16(upper, a, (__m512i)((simd::Words)b << 16));
  odd = _mm512_mask_blend_epi16(upper, (__m512i)((simd::Words)a >> 16), b);
}

// The even and the odd columns side by side again, rounded to bf16.
GAGGLE_BF16_PART __m512i rounded_columns(__m512 even, __m512 odd) {
  using Shorts = uint16_t __attribute__((vector_size(64)));
  const auto all = (Shorts)_mm512_cvtne2ps_pbh(odd, even);
  return (__m512i)__builtin_shufflevector(all, all, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23, 8, 24, 9,
                                          25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
}

// y [32] += the sums of its columns: rounded once, or in fp32, where the even columns lie before the odd ones.
GAGGLE_BF16_PART void add_to(Bf16* y, __mmask32 mask, __m512 even, __m512 odd) {
  const auto pairs = (simd::Words)_mm512_maskz_loadu_epi16(mask, y);  // a bf16 is the upper half of its fp32
  even = _mm512_add_ps((__m512)(pairs << 16), even);
  odd = _mm512_add_ps((__m512)(pairs & 0xffff0000u), odd);
  const __m512i sum = rounded_columns(even, odd);
  if (mask == ~0u)  // a store with a mask takes longer
    _mm512_storeu_si512(y, sum);
  else
    _mm512_mask_storeu_epi16(y, mask, sum);
}
GAGGLE_BF16_PART void add_to(float* y, __mmask32, __m512 even, __m512 odd) {
  _mm512_storeu_ps(y, _mm512_add_ps(_mm512_loadu_ps(y), even));
  _mm512_storeu_ps(y + simd::lanes, _mm512_add_ps(_mm512_loadu_ps(y + simd::lanes), odd));
}

// The sum of one row in up to 32 columns goes where it belongs.
GAGGLE_BF16_PART void put(const RoutedTile<Bf16>& tile, const RoutedColumns& columns, int64_t i, int64_t column,
                          __m512 even, __m512 odd) {
  const RoutedRow& row = tile.rows[i];
  float* kept = columns.sums + row.token * columns.width + column - columns.begin;
  if (!row.first) {
    even = _mm512_add_ps(_mm512_loadu_ps(kept), even);
    odd = _mm512_add_ps(_mm512_loadu_ps(kept + simd::lanes), odd);
  }
  if (!row.last) {
    _mm512_storeu_ps(kept, even);
    return _mm512_storeu_ps(kept + simd::lanes, odd);
  }
  add_to(tile.y + row.token * tile.d_out + column, first_of(columns.end - column), even, odd);
}

// The sums of rows in up to 32 columns, for the ranks q and q + 1; b points to their rows of Bᵀ.
template <int rows>
GAGGLE_BF16_PART void add_pair(const Bf16* b, const Bf16* next, const Bf16* h, int64_t stride, __mmask32 mask,
                               __mmask32 next_mask, __m512 (&even)[rows], __m512 (&odd)[rows]) {
  __m512i b_even, b_odd;
  pairs_of(_mm512_maskz_loadu_epi16(mask, b), _mm512_maskz_loadu_epi16(next_mask, next), b_even, b_odd);
#pragma GCC unroll 8  // so that the sums stay in registers
  for (int64_t i = 0; i < rows; ++i) {
    int32_t pair;
    std::memcpy(&pair, h + i * stride, sizeof pair);
    const auto both = (__m512bh)_mm512_set1_epi32(pair);
    even[i] = _mm512_dpbf16_ps(even[i], (__m512bh)b_even, both);
    odd[i] = _mm512_dpbf16_ps(odd[i], (__m512bh)b_odd, both);
  }
}

// The same for all ranks.
template <int rows>
GAGGLE_BF16_PART void add_pairs(const Bf16* b, int64_t d_out, int64_t rank, const Bf16* h, int64_t stride,
                                __mmask32 mask, __m512 (&even)[rows], __m512 (&odd)[rows]) {
  int64_t q = 0;
  for (; q + 1 < rank; q += 2, b += 2 * d_out) {
    __builtin_prefetch(b + rank * d_out);  // of the expert, or the tokens, that come next
    __builtin_prefetch(b + (rank + 1) * d_out);
    add_pair(b, b + d_out, h + q, stride, mask, mask, even, odd);
  }
  if (q < rank) add_pair(b, b, h + q, stride, mask, 0, even, odd);
}

template <int rows>
GAGGLE_BF16_DOT void output_rows(const RoutedTile<Bf16>& tile, const Bf16* h, int64_t stride,
                                 const RoutedColumns& columns) {
  for (int64_t column = columns.begin; column < columns.end; column += halves) {
    for (int64_t i = 0; i < rows; ++i)  // of the rows that come next
      __builtin_prefetch(tile.y + tile.rows[rows + i].token * tile.d_out + column);
    __m512 even[rows]{}, odd[rows]{};
    add_pairs(tile.bt + column, tile.d_out, tile.rank, h, stride, first_of(columns.end - column), even, odd);
    for (int64_t i = 0; i < rows; ++i) put(tile, columns, i, column, even[i], odd[i]);
  }
}

template <int rows, class Y>
GAGGLE_BF16_DOT void product_rows(const Bf16Product& p, int64_t first, Y* y, int64_t stride) {
  y += first * stride;
  for (int64_t column = 0; column < p.columns; column += halves) {
    for (int64_t i = 0; i < rows; ++i) __builtin_prefetch(y + (rows + i) * stride + column);
    const __mmask32 mask = first_of(p.columns - column);
    __m512 even[rows]{}, odd[rows]{};
    add_pairs(p.m + column, p.columns, p.k, p.h + first * p.stride, p.stride, mask, even, odd);
#pragma GCC unroll 8
    for (int64_t i = 0; i < rows; ++i) add_to(y + i * stride + column, mask, even[i], odd[i]);
  }
}

// Eight rows at a time: their sums are half of the registers.
template <class Y>
void add_product_rows(const Bf16Product& p, Y* y, int64_t stride) {
  constexpr decltype(&product_rows<1, Y>) by_rows[] = {product_rows<1, Y>, product_rows<2, Y>, product_rows<3, Y>,
                                                       product_rows<4, Y>, product_rows<5, Y>, product_rows<6, Y>,
                                                       product_rows<7, Y>, product_rows<8, Y>};
  for (int64_t i = 0; i < p.rows; i += 8) by_rows[std::min<int64_t>(8, p.rows - i) - 1](p, i, y, stride);
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

void add_product_bf16(const Bf16Product& p, Bf16* y) { add_product_rows(p, y, p.columns); }
void add_product_bf16(const Bf16Product& p, float* sums) { add_product_rows(p, sums, padded_columns(p.columns)); }

#else

bool has_bf16_dot() { return false; }
bool has_bf16_tiles() { return false; }
void hidden_tile_bf16(const RoutedTile<simd::Bf16>&, simd::Bf16*, int64_t) { GAGGLE_CHECK(false); }
void output_tile_bf16(const RoutedTile<simd::Bf16>&, const simd::Bf16*, int64_t, const RoutedColumns&) {
  GAGGLE_CHECK(false);
}
void rough_dots(const simd::Bf16*, int64_t, const simd::Bf16*, int64_t, int64_t, float*) { GAGGLE_CHECK(false); }
void add_product_bf16(const Bf16Product&, simd::Bf16*) { GAGGLE_CHECK(false); }
void add_product_bf16(const Bf16Product&, float*) { GAGGLE_CHECK(false); }

#endif

}  // namespace gaggle
