#include "kernel/routed_rows.h"

#include <ATen/Parallel.h>

#include "base/error.h"
#include "kernel/bf16_dot.h"
#include "kernel/dispatch.h"
#include "kernel/dot_tile.h"

namespace gaggle {
namespace {

using simd::Bf16;
using simd::Floats;
using simd::lanes;
using simd::tile_side;

// So many columns at a time, so that what they need stays in the cache: rows of B, y, and the sums of all tokens.
constexpr int64_t block_columns = 256;

// h [count, stride] ← weight · A x of a tile.
template <class X>
GAGGLE_CLONES void hidden_tile(const RoutedTile<X>& tile, float* h, int64_t stride) {
  const X *xs[tile_side], *as[tile_side];
  Floats dots;
  for (int64_t i = 0; i < tile.count; ++i) xs[i] = tile.x + tile.rows[i].token * tile.d_in;
  for (int64_t q = 0; q < tile.rank; q += tile_side) {
    simd::tile_rows(tile.a, q, tile.rank, tile.d_in, as);
    simd::dot_tile(tile.count, xs, as, tile.d_in, dots);
    for (int64_t i = 0; i < tile.count; ++i)
      for (int64_t c = 0; c < tile_side && q + c < tile.rank; ++c)
        h[i * stride + q + c] = tile.rows[i].weight * dots[tile_side * i + c];
  }
}

// The sum of one row in up to sixteen columns goes where it belongs.
template <class X>
GAGGLE_SHARED void put(const RoutedTile<X>& tile, const RoutedColumns& columns, int64_t i, int64_t column,
                       Floats& sum) {
  const RoutedRow& row = tile.rows[i];
  const int64_t left = columns.end - column;
  float* kept = columns.sums + row.token * columns.width + column - columns.begin;
  Floats v;
  if (!row.first) {
    simd::load(kept, lanes, v);
    sum += v;
  }
  if (!row.last) return simd::store(kept, lanes, sum);
  X* y = tile.y + row.token * tile.d_out + column;
  simd::load(y, left, v);
  v += sum;
  simd::store(y, left, v);
}

template <int rows, class X>
GAGGLE_SHARED void output_rows(const RoutedTile<X>& tile, const float* h, int64_t stride,
                               const RoutedColumns& columns) {
  for (int64_t column = columns.begin; column < columns.end; column += lanes) {
    Floats sum[rows]{}, b;
    for (int64_t q = 0; q < tile.rank; ++q) {
      simd::load(tile.bt + q * tile.d_out + column, columns.end - column, b);
      for (int64_t i = 0; i < rows; ++i) sum[i] += b * h[i * stride + q];
    }
    for (int64_t i = 0; i < rows; ++i) put(tile, columns, i, column, sum[i]);
  }
}

// y += Bᵀ h of a tile's rows, in some columns.
template <class X>
GAGGLE_CLONES void output_tile(const RoutedTile<X>& tile, const float* h, int64_t stride,
                               const RoutedColumns& columns) {
  if (tile.count == 4) return output_rows<4>(tile, h, stride, columns);
  if (tile.count == 3) return output_rows<3>(tile, h, stride, columns);
  if (tile.count == 2) return output_rows<2>(tile, h, stride, columns);
  return output_rows<1>(tile, h, stride, columns);
}

// All pairs of a token and an expert, by expert and then by token.
struct SortedRows {
  std::vector<RoutedRow> rows;  // and a tile more, which stand for nothing
  std::vector<int64_t> begin;   // [N + 1]
};

SortedRows sorted(const RoutedSite& site, const TokenRouting& routed) {
  const int64_t tokens = routed.experts.size(0), k = routed.experts.size(1), pairs = tokens * k;
  const at::Tensor experts = routed.experts.contiguous(), weights = routed.weights.contiguous();
  const int64_t* expert = experts.data_ptr<int64_t>();
  const float* weight = weights.data_ptr<float>();
  SortedRows all{std::vector<RoutedRow>(static_cast<size_t>(pairs)), std::vector<int64_t>(site.experts.size() + 1)};
  for (int64_t i = 0; i < pairs; ++i) ++all.begin[static_cast<size_t>(expert[i]) + 1];
  for (size_t z = 1; z < all.begin.size(); ++z) all.begin[z] += all.begin[z - 1];
  std::vector<int64_t> next(all.begin.begin(), all.begin.end() - 1);
  for (int64_t i = 0; i < pairs; ++i) {
    const auto z = static_cast<size_t>(expert[i]);
    const auto scale = static_cast<float>(site.experts[z].scale);
    all.rows[static_cast<size_t>(next[z]++)] = {i / k, weight[i] * scale, false, false};
  }
  std::vector<int64_t> seen(static_cast<size_t>(tokens));
  for (RoutedRow& row : all.rows) {
    int64_t& count = seen[static_cast<size_t>(row.token)];
    row.first = count++ == 0;
    row.last = count == k;
  }
  all.rows.resize(all.rows.size() + RoutedTile<float>::side);
  return all;
}

template <class X>
std::vector<RoutedTile<X>> tiles_of(const SortedRows& all, const RoutedSite& site, at::ScalarType type, const X* x,
                                    X* y) {
  std::vector<RoutedTile<X>> tiles;
  for (size_t z = 0; z < site.experts.size(); ++z) {
    const LowRank& expert = site.experts[z];
    if (all.begin[z] < all.begin[z + 1]) GAGGLE_CHECK(expert.a.is_cpu() && expert.a.scalar_type() == type);
    for (int64_t i = all.begin[z]; i < all.begin[z + 1]; i += RoutedTile<X>::side)
      tiles.push_back({x, static_cast<const X*>(expert.a.data_ptr()), static_cast<const X*>(expert.b.data_ptr()), y,
                       expert.a.size(0), expert.a.size(1), expert.b.size(0), &all.rows[static_cast<size_t>(i)],
                       std::min(RoutedTile<X>::side, all.begin[z + 1] - i), i});
  }
  return tiles;
}

// First the hidden values of all rows, then y: shared out by columns, so that no two threads add to one number.
template <class X, class H>
void add_tiles(const at::Tensor& x, at::Tensor& y, const RoutedSite& site, const TokenRouting& routed,
               void (*hidden)(const RoutedTile<X>&, H*, int64_t),
               void (*output)(const RoutedTile<X>&, const H*, int64_t, const RoutedColumns&)) {
  const SortedRows all = sorted(site, routed);
  const auto tiles =
      tiles_of(all, site, x.scalar_type(), static_cast<const X*>(x.data_ptr()), static_cast<X*>(y.data_ptr()));
  int64_t stride = 0;
  for (const RoutedTile<X>& tile : tiles) stride = std::max(stride, tile.rank + tile.rank % 2);
  const at::Tensor hidden_rows =
      at::empty({static_cast<int64_t>(all.rows.size()), stride}, std::is_same_v<H, float> ? at::kFloat : at::kBFloat16);
  H* h = static_cast<H*>(hidden_rows.data_ptr());
  const auto each = [&](int64_t begin, int64_t end, const auto& run) {
    for (int64_t i = begin; i < end; ++i) {
      const RoutedTile<X>& tile = tiles[static_cast<size_t>(i)];
      run(tile, h + tile.place * stride);
    }
  };
  const auto count = static_cast<int64_t>(tiles.size());
  at::parallel_for(0, count, grain(stride * x.size(1)), [&](int64_t begin, int64_t end) {
    each(begin, end, [&](const RoutedTile<X>& tile, H* to) { hidden(tile, to, stride); });
  });
  constexpr int64_t step = RoutedColumns::step;
  const int64_t tokens = y.size(0), d_out = y.size(1), k = routed.experts.size(1);
  at::parallel_for(0, (d_out + step - 1) / step, grain(tokens * k * stride), [&](int64_t first, int64_t last) {
    const at::Tensor sums = at::empty({k > 1 ? tokens : 0, block_columns}, at::kFloat);
    for (int64_t begin = first * step; begin < last * step; begin += block_columns) {
      const RoutedColumns columns{begin, std::min({begin + block_columns, last * step, d_out}), float_of(sums),
                                  block_columns};
      each(0, count, [&](const RoutedTile<X>& tile, const H* from) { output(tile, from, stride, columns); });
    }
  });
}

}  // namespace

void add_routed_rows(const at::Tensor& x, at::Tensor& y, const RoutedSite& site, const TokenRouting& routed) {
  GAGGLE_CHECK(x.scalar_type() == y.scalar_type());
  if (!is_bf16(x)) return add_tiles<float, float>(x, y, site, routed, hidden_tile<float>, output_tile<float>);
  if (has_bf16_dot()) return add_tiles<Bf16, Bf16>(x, y, site, routed, hidden_tile_bf16, output_tile_bf16);
  add_tiles<Bf16, float>(x, y, site, routed, hidden_tile<Bf16>, output_tile<Bf16>);
}

}  // namespace gaggle
