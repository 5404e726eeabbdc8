#include <ATen/Parallel.h>

#include <algorithm>
#include <iterator>
#include <numeric>
#include <span>

#include "base/error.h"
#include "kernel/attention_blocks.h"
#include "kernel/bf16_dot.h"
#include "kernel/flash_attention.h"
#include "kernel/upload.h"

namespace gaggle {
namespace {

constexpr int64_t largest_scores = int64_t{1} << 24;  // values of one chunk's score tensor

constexpr int64_t short_row = 128;  // about this many tokens: shorter rows leave most of a block of 64 by 128 empty

// Whether the loops over blocks are faster than products of whole rows. Tiles of bf16 (AMX) are faster than our loops,
// as long as the scores are few.
bool has_fast_loops(const at::TensorOptions& like) {
  if (!like.device().is_cpu()) return false;
  const at::ScalarType type = c10::typeMetaToScalarType(like.dtype());
  return type == at::kFloat || (type == at::kBFloat16 && has_bf16_dot() && !has_bf16_tiles());
}

// A row that goes by blocks: its scores are too many for one chunk, or the loops over blocks are faster.
bool is_long(const AttentionRow& row, const HeadShape& shape, const at::TensorOptions& like) {
  const int64_t scores = row.rows * row.keys();
  return scores * shape.heads > largest_scores ||
         (has_fast_loops(like) && row.rows >= 32 && scores > short_row * short_row);
}

AttentionChunk make_chunk(std::span<const AttentionRow> members, const AttentionMask& mask, at::Device device) {
  AttentionChunk chunk;
  chunk.sequences = static_cast<int64_t>(members.size());
  for (const AttentionRow& row : members) {
    chunk.queries = std::max(chunk.queries, row.rows);
    chunk.keys = std::max(chunk.keys, row.keys());
  }
  const auto n_queries = static_cast<size_t>(chunk.sequences * chunk.queries);
  std::vector<int64_t> query_rows(n_queries), first(n_queries), last(n_queries), positions(n_queries), rows, slots;
  std::vector<int64_t> key_rows(static_cast<size_t>(chunk.sequences * chunk.keys)), pool_rows, key_slots;
  size_t query = 0;
  int64_t key = 0;
  for (const AttentionRow& row : members) {
    for (int64_t i = 0; i < row.rows; ++i) {
      const size_t at = query + static_cast<size_t>(i);
      const SeenKeys seen = keys_seen(row, mask, i, i + 1);
      query_rows[at] = row.begin + i;
      positions[at] = row.position + i;
      first[at] = seen.begin;
      last[at] = seen.end;
      rows.push_back(row.begin + i);
      slots.push_back(static_cast<int64_t>(at));
    }
    std::ranges::copy(row.key_rows, key_rows.begin() + key);
    pool_rows.insert(pool_rows.end(), row.key_rows.begin(), row.key_rows.end());
    for (int64_t j = 0; j < row.keys(); ++j) key_slots.push_back(key + j);
    query += static_cast<size_t>(chunk.queries);
    key += chunk.keys;
  }
  chunk.query_rows = to_device(query_rows, device);
  chunk.key_rows = to_device(key_rows, device);
  chunk.first = to_device(first, device);
  chunk.last = to_device(last, device);
  chunk.positions = to_device(positions, device);
  chunk.rows = to_device(rows, device);
  chunk.slots = to_device(slots, device);
  chunk.pool_rows = to_device(pool_rows, device);
  chunk.key_slots = to_device(key_slots, device);
  return chunk;
}

// A chunk grows while the padded rectangle stays within 1.3 times what is real, and its scores within the limit.
AttentionPlan plan_of(std::vector<AttentionRow> all, const AttentionMask& mask, const HeadShape& shape,
                      const at::TensorOptions& like) {
  AttentionPlan plan;
  plan.mask = mask;
  std::erase_if(all, [](const AttentionRow& row) { return row.rows == 0; });
  if (takes_flash(shape, like)) {
    if (!all.empty()) plan.flash = flash_rows(all, like.device());
    return plan;
  }
  std::ranges::copy_if(all, std::back_inserter(plan.long_rows),
                       [&](const AttentionRow& row) { return is_long(row, shape, like); });
  std::erase_if(all, [&](const AttentionRow& row) { return is_long(row, shape, like); });
  std::ranges::stable_sort(all, [](const AttentionRow& a, const AttentionRow& b) {
    return std::pair(a.keys(), a.rows) < std::pair(b.keys(), b.rows);
  });
  for (size_t begin = 0; begin < all.size();) {
    int64_t queries = 0, keys = 0, real = 0;
    size_t end = begin;
    for (; end < all.size(); ++end) {
      const int64_t q = std::max(queries, all[end].rows), k = std::max(keys, all[end].keys());
      const int64_t n = static_cast<int64_t>(end - begin) + 1, more = all[end].rows * all[end].keys();
      const bool wasteful = 10 * n * q * k > 13 * (real + more) + 10 * 1024 * n;
      if (end > begin && (wasteful || n * q * k * shape.heads > largest_scores)) break;
      queries = q, keys = k, real += more;
    }
    plan.chunks.push_back(make_chunk(std::span(all).subspan(begin, end - begin), mask, like.device()));
    begin = end;
  }
  return plan;
}

std::vector<int64_t> count_from(int64_t begin, int64_t n) {
  std::vector<int64_t> rows(static_cast<size_t>(n));
  std::iota(rows.begin(), rows.end(), begin);
  return rows;
}

}  // namespace

SeenKeys keys_seen(const AttentionRow& row, const AttentionMask& mask, int64_t begin, int64_t end) {
  if (!mask.causal) return {0, row.keys()};
  const int64_t first = mask.window > 0 ? row.position + begin + 1 - mask.window : 0;
  return {std::max<int64_t>(0, first), row.position + end};
}

AttentionChunk chunk_of(const AttentionPlan& plan, const AttentionRow& row, int64_t begin, int64_t end,
                        at::Device device) {
  const SeenKeys seen = keys_seen(row, plan.mask, begin, end);
  const AttentionRow part{row.begin + begin,
                          end - begin,
                          row.position + begin - seen.begin,
                          {row.key_rows.begin() + seen.begin, row.key_rows.begin() + seen.end}};
  return make_chunk({&part, 1}, plan.mask, device);
}

int64_t queries_at_once(const AttentionRow& row, const HeadShape& shape) {
  return std::min(row.rows, std::max<int64_t>(16, largest_scores / (shape.heads * row.keys())));
}

AttentionPlan plan_attention(const Microbatch& batch, int64_t pool_begin, int64_t window, const HeadShape& shape,
                             const at::TensorOptions& like) {
  GAGGLE_CHECK(batch.past.empty() || static_cast<int64_t>(batch.past.size()) == batch.decoder.sequences());
  std::vector<AttentionRow> all;
  for (size_t s = 0; s + 1 < batch.decoder.starts.size(); ++s) {
    const int64_t begin = batch.decoder.starts[s], count = batch.decoder.starts[s + 1] - begin;
    AttentionRow& row = all.emplace_back(AttentionRow{begin, count, 0, {}});
    if (!batch.past.empty()) row.key_rows = batch.past[s];
    row.position = row.keys();
    std::ranges::copy(count_from(pool_begin + begin, count), std::back_inserter(row.key_rows));
  }
  AttentionPlan plan = plan_of(std::move(all), {true, window}, shape, like);
  plan.has_past = std::ranges::any_of(batch.past, [](const auto& past) { return !past.empty(); });
  return plan;
}

AttentionPlan plan_encoder_attention(const TokenSequences& tokens, const HeadShape& shape,
                                     const at::TensorOptions& like) {
  std::vector<AttentionRow> all;
  for (size_t s = 0; s + 1 < tokens.starts.size(); ++s) {
    const int64_t begin = tokens.starts[s], count = tokens.starts[s + 1] - begin;
    all.push_back({begin, count, 0, count_from(begin, count)});
  }
  return plan_of(std::move(all), {false, 0}, shape, like);
}

AttentionPlan plan_cross_attention(const Microbatch& batch, std::span<const int64_t> starts, const HeadShape& shape,
                                   const at::TensorOptions& like) {
  GAGGLE_CHECK(static_cast<int64_t>(batch.sources.size()) == batch.decoder.sequences());
  std::vector<AttentionRow> all;
  for (size_t s = 0; s < batch.sources.size(); ++s) {
    const auto source = static_cast<size_t>(batch.sources[s]);
    GAGGLE_CHECK(source + 1 < starts.size(), "source {} of {}", source, starts.size());
    const int64_t queries = batch.decoder.starts[s + 1] - batch.decoder.starts[s];
    if (s > 0 && batch.sources[s] == batch.sources[s - 1])  // neighbours of one source are one: nothing is masked
      all.back().rows += queries;
    else
      all.push_back(
          {batch.decoder.starts[s], queries, 0, count_from(starts[source], starts[source + 1] - starts[source])});
  }
  return plan_of(std::move(all), {false, 0}, shape, like);
}

int64_t attention_bytes(const HeadShape& shape, int64_t tokens, int64_t longest, const at::TensorOptions& like,
                        bool backward) {
  const auto width = static_cast<int64_t>(like.dtype().itemsize());
  const bool cpu = like.device().is_cpu();
  if (takes_flash(shape, like))
    return (backward ? 4 + 2 * shape.head_dim * width : 4) * tokens * shape.heads;  // lse, dq in fp32
  // Of a chunk: a score's probability and its gradient; elsewhere than on the CPU its softmax in fp32, in three steps.
  const int64_t a_score = (backward ? 2 : 1) * width + (cpu ? 0 : 12);
  const int64_t held = has_fast_loops(like) ? std::min(longest, short_row) : longest;
  const int64_t chunk = a_score * std::min(tokens * held * shape.heads, largest_scores);
  // By blocks: every thread's space, and two sums for each head and token.
  const bool by_blocks = longest > held || longest * longest * shape.heads > largest_scores;
  const int64_t blocks = at::get_num_threads() * block_workspace(shape) + 8 * tokens * shape.heads;
  return chunk + (cpu && by_blocks ? blocks : 0);
}

}  // namespace gaggle
