// "Each token, its k experts" on a CPU: tokens sorted by expert, read where they lie, four at a time. Their hidden
// values carry the weights; a token's experts are summed in fp32 in the order of their numbers and rounded once. No
// bits depend on threads or on which tokens stand together.
#pragma once

#include "kernel/routing.h"
#include "kernel/simd.h"

namespace gaggle {

// What add_routed() says, for x and y that are on_cpu(), of one type.
void add_routed_rows(const at::Tensor& x, at::Tensor& y, const RoutedSite& site, const TokenRouting& routed);

// One token and one of its experts.
struct RoutedRow {
  int64_t token;
  float weight;      // with the expert's scale
  bool first, last;  // of the token's experts
};

// Up to four tokens of one expert.
template <class X>
struct RoutedTile {
  const X *x, *a, *bt;  // [T, d_in], [rank, d_in], [rank, d_out]
  X* y;                 // [T, d_out]
  int64_t rank, d_in, d_out;
  const RoutedRow* rows;  // as many others can be read behind them: where the next products go
  int64_t count;
  int64_t place;  // of the tile's first row among all

  static constexpr int64_t side = 4;
};

// Columns [begin, end) of y, and the sums there of tokens whose last expert is still to come.
struct RoutedColumns {
  int64_t begin, end;
  float* sums;    // [T, width]
  int64_t width;  // end - begin, rounded up to `step`

  static constexpr int64_t step = 32;
};

}  // namespace gaggle
