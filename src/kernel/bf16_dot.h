// The two products of kernel/routed_rows on processors that multiply bf16 themselves (AVX512-BF16).
#pragma once

#include "kernel/routed_rows.h"

namespace gaggle {

// Whether this processor has such products, and this program was built for them.
bool has_bf16_dot();

// As hidden_tile and output_tile of kernel/routed_rows.cpp, but for h, which is rounded to bf16; its stride is even,
// and what lies between rank and stride is 0.
void hidden_tile_bf16(const RoutedTile<simd::Bf16>& tile, simd::Bf16* h, int64_t stride);
void output_tile_bf16(const RoutedTile<simd::Bf16>& tile, const simd::Bf16* h, int64_t stride,
                      const RoutedColumns& columns);

}  // namespace gaggle
