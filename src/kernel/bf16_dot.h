// The products of kernel/routed_rows and kernel/lowrank_rows, and rough scores for kernel/token_scores, on processors
// that multiply bf16 themselves (AVX512-BF16). A unit with tiles (AMX) would have its place here.
#pragma once

#include "kernel/routed_rows.h"

namespace gaggle {

// Whether this processor has such products, and this program was built for them.
bool has_bf16_dot();
// Whether LibTorch multiplies matrices of bf16 by tiles (AMX), several times as fast.
bool has_bf16_tiles();

// As hidden_tile and output_tile of kernel/routed_rows.cpp, but for h, which is rounded to bf16; its stride is even,
// and what lies between rank and stride is 0.
void hidden_tile_bf16(const RoutedTile<simd::Bf16>& tile, simd::Bf16* h, int64_t stride);
void output_tile_bf16(const RoutedTile<simd::Bf16>& tile, const simd::Bf16* h, int64_t stride,
                      const RoutedColumns& columns);

// y [n, count] ← x [n, d] · directions [count, d]ᵀ in fp32.
void rough_dots(const simd::Bf16* x, int64_t n, const simd::Bf16* directions, int64_t count, int64_t d, float* y);

// h [rows, k] · m [k, columns]. The rows of h lie `stride` apart, which is even; where k is odd, one more of each is
// read and must be finite.
struct Bf16Product {
  const simd::Bf16* h;
  int64_t rows, stride;
  const simd::Bf16* m;
  int64_t k, columns;
};

// The product is added to y [rows, columns], which is rounded once.
void add_product_bf16(const Bf16Product& p, simd::Bf16* y);
// The same in fp32: in each 32 columns of sums [rows, padded_columns] the even ones lie before the odd ones.
void add_product_bf16(const Bf16Product& p, float* sums);
inline constexpr int64_t parted_columns = 32;
inline int64_t padded_columns(int64_t d) { return (d + parted_columns - 1) / parted_columns * parted_columns; }

}  // namespace gaggle
