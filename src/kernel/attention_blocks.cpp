#include "kernel/attention_blocks.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>
#include <cmath>

#include "base/error.h"
#include "kernel/attention_tiles.h"
#include "kernel/bf16_dot.h"
#include "kernel/dispatch.h"

namespace gaggle {
namespace {

using simd::Bf16;
using tiles::Singles;
#ifdef GAGGLE_BF16_DOT
using tiles::Pairs;
#endif
using tiles::depth, tiles::width, tiles::Unit, tiles::Work, tiles::Space;

template <class Kind, class X>
GAGGLE_SHARED void forward_unit(const Work<X>& w, const Unit& unit, const Space<Kind>& s) {
  const SeenKeys seen = unit.seen;
  const AttentionRow& row = *unit.row;
  const int64_t d = w.shape.head_dim, kv_head = unit.head / (w.shape.heads / w.shape.kv_heads);
  const int64_t queries = row.rows - unit.begin < width ? row.rows - unit.begin : width;
  tiles::read_lanes(queries_of(w, w.q, row, unit.head), unit.begin, queries, d, w.score_scale, s.lanes_a);
  tiles::fill(s.sums_a, d * width, 0);
  tiles::fill(s.top, width, tiles::hidden);
  tiles::fill(s.total, width, 0);
  for (int64_t key = seen.begin; key < seen.end; key += depth) {
    const int64_t n = seen.end - key < depth ? seen.end - key : depth;
    tiles::read_along(keys_of(w, w.k, row, kv_head), key, n, d, s.rows_a.along);
    tiles::read_across(keys_of(w, w.v, row, kv_head), key, n, d, s.rows_b.across);
    tiles::rows_by_lanes(s.rows_a, n, d, s.lanes_a, s.scores);
    shape_scores(distances(w, row.position + unit.begin, key, unit.head, false), n, s.scores);
    tiles::soften(n, d, s);
    if (w.keys) {
      fill_factors(w, row, unit.head, unit.begin, key, n, false, s.factors);
      tiles::times(s.factors, n, s.scores);
    }
    tiles::add_rows(s.rows_b, n, d, s.scores, s.sums_a);
  }
  for (int64_t i = 0; i < queries; ++i) {
    s.scales[i] = s.total[i] == 0 ? 0 : 1 / s.total[i];
    w.lse[(row.begin + unit.begin + i) * w.shape.heads + unit.head] =
        s.total[i] == 0 ? -tiles::hidden : s.top[i] + std::log2(s.total[i]);
  }
  tiles::write_lanes(queries_of(w, w.y, row, unit.head), unit.begin, queries, d, s.scales, s.sums_a);
}

// dq of a block of queries, and their delta.
template <class Kind, class X>
GAGGLE_SHARED void queries_unit(const Work<X>& w, const Unit& unit, const Space<Kind>& s) {
  const AttentionRow& row = *unit.row;
  const SeenKeys seen = unit.seen;
  const int64_t d = w.shape.head_dim, kv_head = unit.head / (w.shape.heads / w.shape.kv_heads);
  const int64_t queries = row.rows - unit.begin < width ? row.rows - unit.begin : width;
  const auto scale = static_cast<float>(w.shape.scale);
  tiles::read_lanes(queries_of(w, w.q, row, unit.head), unit.begin, queries, d, w.score_scale, s.lanes_a);
  const auto dys = queries_of(w, w.dy, row, unit.head), ys = queries_of(w, w.y, row, unit.head);
  tiles::read_lanes(dys, unit.begin, queries, d, 1, s.lanes_b);
  tiles::fill(s.top, width, -tiles::hidden);
  tiles::fill(s.total, width, 0);
  for (int64_t i = 0; i < queries; ++i) {
    const int64_t at = (row.begin + unit.begin + i) * w.shape.heads + unit.head;
    tiles::fetch_ahead(ys, unit.begin + i, unit.begin + queries, d);
    s.top[i] = w.lse[at];
    s.total[i] = w.delta[at] = tiles::dot(row_of(dys, unit.begin + i), row_of(ys, unit.begin + i), d);
  }
  tiles::fill(s.sums_a, d * width, 0);
  for (int64_t key = seen.begin; key < seen.end; key += depth) {
    const int64_t n = seen.end - key < depth ? seen.end - key : depth;
    tiles::read_both(keys_of(w, w.k, row, kv_head), key, n, d, s.rows_a);
    tiles::read_along(keys_of(w, w.v, row, kv_head), key, n, d, s.rows_b.along);
    tiles::rows_by_lanes(s.rows_a, n, d, s.lanes_a, s.scores);
    shape_scores(distances(w, row.position + unit.begin, key, unit.head, false), n, s.scores);
    tiles::rows_by_lanes(s.rows_b, n, d, s.lanes_b, s.grads);
    if (w.keys) {
      fill_factors(w, row, unit.head, unit.begin, key, n, false, s.factors);
      tiles::times(s.factors, n, s.grads);
    }
    tiles::score_gradients<false>(n, s);
    tiles::add_rows(s.rows_a, n, d, s.grads, s.sums_a);
  }
  tiles::fill(s.scales, width, scale);
  tiles::write_lanes(queries_of(w, w.dq, row, unit.head), unit.begin, queries, d, s.scales, s.sums_a);
}

// dk and dv of a block of keys, over the heads that read them.
template <class Kind, class X>
GAGGLE_SHARED void keys_unit(const Work<X>& w, const Unit& unit, const Space<Kind>& s) {
  const AttentionRow& row = *unit.row;
  const int64_t d = w.shape.head_dim, group = w.shape.heads / w.shape.kv_heads, all = unit.seen.end;
  const int64_t keys = row.keys() - unit.begin < width ? row.keys() - unit.begin : width;
  const auto scale = static_cast<float>(w.shape.scale);
  tiles::read_lanes(keys_of(w, w.k, row, unit.head), unit.begin, keys, d, w.score_scale, s.lanes_a);
  tiles::read_lanes(keys_of(w, w.v, row, unit.head), unit.begin, keys, d, 1, s.lanes_b);
  tiles::fill(s.sums_a, d * width, 0);
  tiles::fill(s.sums_b, d * width, 0);
  for (int64_t head = unit.head * group; head < (unit.head + 1) * group; ++head)
    for (int64_t query = unit.seen.begin; query < all; query += depth) {
      const int64_t n = all - query < depth ? all - query : depth;
      tiles::read_both(queries_of(w, w.q, row, head), query, n, d, s.rows_a);
      tiles::read_both(queries_of(w, w.dy, row, head), query, n, d, s.rows_b);
      for (int64_t i = 0; i < n; ++i) {
        const int64_t at = (row.begin + query + i) * w.shape.heads + head;
        s.top[i] = w.lse[at];
        s.total[i] = w.delta[at];
      }
      tiles::rows_by_lanes(s.rows_a, n, d, s.lanes_a, s.scores);
      shape_scores(distances(w, row.position + query, unit.begin, head, true), n, s.scores);
      tiles::rows_by_lanes(s.rows_b, n, d, s.lanes_b, s.grads);
      if (w.keys) {
        fill_factors(w, row, head, query, unit.begin, n, true, s.factors);
        tiles::times(s.factors, n, s.grads);
      }
      tiles::score_gradients<true>(n, s);
      if (w.keys) tiles::times(s.factors, n, s.scores);
      tiles::add_rows(s.rows_b, n, d, s.scores, s.sums_b);
      tiles::add_rows(s.rows_a, n, d, s.grads, s.sums_a);
    }
  tiles::fill(s.scales, width, scale);
  tiles::write_lanes(keys_of(w, w.dk, row, unit.head), unit.begin, keys, d, s.scales, s.sums_a);
  tiles::fill(s.scales, width, 1);
  tiles::write_lanes(keys_of(w, w.dv, row, unit.head), unit.begin, keys, d, s.scales, s.sums_b);
}

enum class Pass { forward, queries, keys };

template <Pass pass, class Kind, class X>
GAGGLE_SHARED void do_unit(const Work<X>& work, const Unit& unit, const Space<Kind>& space) {
  if constexpr (pass == Pass::forward) forward_unit<Kind>(work, unit, space);
  if constexpr (pass == Pass::queries) queries_unit<Kind>(work, unit, space);
  if constexpr (pass == Pass::keys) keys_unit<Kind>(work, unit, space);
}
template <Pass pass, class X>
GAGGLE_CLONES void run_unit(const Work<X>& work, const Unit& unit, const Space<Singles>& space) {
  do_unit<pass>(work, unit, space);
}
#ifdef GAGGLE_BF16_DOT
template <Pass pass>
GAGGLE_BF16_DOT void run_unit(const Work<Bf16>& work, const Unit& unit, const Space<Pairs>& space) {
  do_unit<pass>(work, unit, space);
}
#endif

// Calls run with the kind of cells that x is computed in, and a pointer of x's element type.
template <class Run>
void with_kind(const at::Tensor& x, const Run& run) {
#ifdef GAGGLE_BF16_DOT
  if (is_bf16(x) && has_bf16_dot()) return run(Pairs{}, static_cast<Bf16*>(nullptr));
#endif
  with_elements(x, [&](auto* pointer) { run(Singles{}, pointer); });
}

// Blocks of 64 queries, of every head. The last ones of a causal row see most, and go first.
std::vector<Unit> query_units(const AttentionPlan& plan, int64_t heads) {
  std::vector<Unit> units;
  for (const AttentionRow& row : plan.long_rows)
    for (int64_t begin = (row.rows - 1) / width * width; begin >= 0; begin -= width)
      for (int64_t head = 0; head < heads; ++head)
        units.push_back({&row, head, begin, keys_seen(row, plan.mask, begin, std::min(row.rows, begin + width))});
  return units;
}

// Blocks of 64 keys, of every key head, with the queries that see them.
std::vector<Unit> key_units(const AttentionPlan& plan, int64_t kv_heads) {
  std::vector<Unit> units;
  for (const AttentionRow& row : plan.long_rows)
    for (int64_t begin = 0; begin < row.keys(); begin += width) {
      SeenKeys queries{0, row.rows};
      if (plan.mask.causal) queries.begin = std::max<int64_t>(0, begin - row.position);
      if (plan.mask.window > 0)
        queries.end = std::min(row.rows, std::min(row.keys(), begin + width) + plan.mask.window - 1 - row.position);
      for (int64_t head = 0; head < kv_heads; ++head) units.push_back({&row, head, begin, queries});
    }
  return units;
}

// Threads take units as they come to them, so that one whose core is busy with other work holds up nobody.
template <Pass pass, class Kind, class X>
void run_all(const std::vector<Unit>& units, const Work<X>& work) {
  std::atomic<size_t> next = 0;
  const int64_t d = work.shape.head_dim;
  const int64_t threads = std::min<int64_t>(at::get_num_threads(), static_cast<int64_t>(units.size()));
  at::parallel_for(0, threads, 1, [&](int64_t, int64_t) {
    const at::Tensor memory = at::empty({tiles::floats_of(d)}, at::kFloat);
    const auto space = tiles::cut<Kind>(memory.data_ptr<float>(), d);
    for (size_t i = next++; i < units.size(); i = next++) run_unit<pass>(work, units[i], space);
  });
}

// What Work points to beside the caller's tensors.
struct Tables {
  at::Tensor bias, reversed_bias;
  std::vector<uint64_t> keys;
};

Tables tables_of(const AttentionExtras& extras, int64_t heads) {
  Tables tables;
  if (extras.bias) {
    // A tile reaches a block beyond the last distance.
    tables.bias = at::constant_pad_nd(extras.bias->by_distance * tiles::log2_e, {depth, depth}).contiguous();
    tables.reversed_bias = tables.bias.flip(1).contiguous();
  }
  if (extras.dropout)
    for (const uint64_t key : extras.dropout->keys)
      for (int64_t h = 0; h < heads; ++h) tables.keys.push_back(random_key("head", {key, static_cast<uint64_t>(h)}));
  return tables;
}

template <class X>
Work<X> work_of(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const Attended& to,
                const AttentionPlan& plan, const HeadShape& shape, const AttentionExtras& extras,
                const Tables& tables) {
  const auto pointer = [](const at::Tensor& x) { return static_cast<X*>(x.data_ptr()); };
  Work<X> work;
  work.q = pointer(q), work.k = pointer(k), work.v = pointer(v), work.y = pointer(to.y), work.lse = float_of(to.lse);
  work.shape = shape;
  work.score_scale = static_cast<float>(shape.scale * tiles::log2_e);
  work.causal = plan.mask.causal;
  work.window = plan.mask.window;
  if (extras.bias) {
    work.bias = float_of(tables.bias);
    work.reversed_bias = float_of(tables.reversed_bias);
    work.bias_width = tables.bias.size(1);
    work.bias_centre = extras.bias->reach + depth;
  }
  if (extras.dropout) {
    work.keys = tables.keys.data();
    work.dropped_below = static_cast<uint64_t>(extras.dropout->p * 0x1p64);
    work.kept_scale = static_cast<float>(1 / (1 - extras.dropout->p));
  }
  return work;
}

}  // namespace

void attend_by_blocks(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttentionPlan& plan,
                      const HeadShape& shape, const AttentionExtras& extras, Attended& to) {
  const Tables tables = tables_of(extras, shape.heads);
  to.lse = at::zeros({q.size(0), shape.heads}, q.options().dtype(at::kFloat));
  with_kind(q, [&](auto kind, auto* x) {
    const auto work = work_of<std::remove_pointer_t<decltype(x)>>(q, k, v, to, plan, shape, extras, tables);
    run_all<Pass::forward, decltype(kind)>(query_units(plan, shape.heads), work);
  });
}

void attend_by_blocks_backward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const Attended& forward,
                               const at::Tensor& dy, const AttentionPlan& plan, const HeadShape& shape,
                               const AttentionExtras& extras, AttentionGrad& grad) {
  GAGGLE_CHECK(forward.lse.defined() && on_cpu(forward.y) && on_cpu(dy));
  const Tables tables = tables_of(extras, shape.heads);
  const at::Tensor delta = at::empty_like(forward.lse);
  with_kind(q, [&](auto kind, auto* x) {
    using X = std::remove_pointer_t<decltype(x)>;
    Work<X> work = work_of<X>(q, k, v, forward, plan, shape, extras, tables);
    const auto pointer = [](const at::Tensor& of) { return static_cast<X*>(of.data_ptr()); };
    work.dy = pointer(dy), work.dq = pointer(grad.q), work.dk = pointer(grad.k), work.dv = pointer(grad.v);
    work.delta = float_of(delta);
    run_all<Pass::queries, decltype(kind)>(query_units(plan, shape.heads), work);
    run_all<Pass::keys, decltype(kind)>(key_units(plan, shape.kv_heads), work);
  });
}

int64_t block_workspace(const HeadShape& shape) {
  return tiles::floats_of(shape.head_dim) * static_cast<int64_t>(sizeof(float));
}

}  // namespace gaggle
