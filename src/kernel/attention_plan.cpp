#include <algorithm>
#include <span>

#include "base/error.h"
#include "kernel/attention.h"

namespace gaggle {
namespace {

constexpr int64_t largest_scores = int64_t{1} << 24;  // values of one chunk's score tensor

at::Tensor to_device(const std::vector<int64_t>& values, at::Device device) {
  return at::tensor(values, at::TensorOptions().dtype(at::kLong)).to(device);
}

// A sequence's keys are the rows of the pool that its past names, then new_keys rows from key_begin on.
struct Sequence {
  int64_t begin = 0, rows = 0;
  int64_t key_begin = 0, new_keys = 0;
  std::span<const int64_t> past{};
  int64_t keys() const { return static_cast<int64_t>(past.size()) + new_keys; }
};

// What a query sees.
struct Mask {
  bool causal = true;
  int64_t window = 0;
};

AttentionChunk make_chunk(std::span<const Sequence> members, const Mask& mask, at::Device device) {
  AttentionChunk chunk;
  chunk.sequences = static_cast<int64_t>(members.size());
  for (const Sequence& sequence : members) {
    chunk.queries = std::max(chunk.queries, sequence.rows);
    chunk.keys = std::max(chunk.keys, sequence.keys());
  }
  const auto n_queries = static_cast<size_t>(chunk.sequences * chunk.queries);
  std::vector<int64_t> query_rows(n_queries), first(n_queries), last(n_queries), positions(n_queries), rows, slots;
  std::vector<int64_t> key_rows(static_cast<size_t>(chunk.sequences * chunk.keys)), pool_rows, key_slots;
  size_t query = 0, key = 0;
  for (const Sequence& sequence : members) {
    for (int64_t i = 0; i < sequence.rows; ++i) {
      const size_t at = query + static_cast<size_t>(i);
      query_rows[at] = sequence.begin + i;
      positions[at] = static_cast<int64_t>(sequence.past.size()) + i;
      last[at] = mask.causal ? positions[at] + 1 : sequence.keys();
      first[at] = mask.window > 0 ? std::max<int64_t>(0, last[at] - mask.window) : 0;
      rows.push_back(sequence.begin + i);
      slots.push_back(static_cast<int64_t>(at));
    }
    std::ranges::copy(sequence.past, key_rows.begin() + static_cast<int64_t>(key));
    for (int64_t j = 0; j < sequence.new_keys; ++j) {
      const size_t at = key + sequence.past.size() + static_cast<size_t>(j);
      key_rows[at] = sequence.key_begin + j;
      pool_rows.push_back(key_rows[at]);
      key_slots.push_back(static_cast<int64_t>(at));
    }
    query += static_cast<size_t>(chunk.queries);
    key += static_cast<size_t>(chunk.keys);
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
AttentionPlan plan_of(std::vector<Sequence> all, const Mask& mask, const HeadShape& shape, at::Device device) {
  AttentionPlan plan;
  std::erase_if(all, [](const Sequence& sequence) { return sequence.rows == 0; });
  for (const Sequence& sequence : all) plan.has_past |= !sequence.past.empty();
  std::stable_sort(all.begin(), all.end(), [](const Sequence& a, const Sequence& b) {
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
    plan.chunks.push_back(make_chunk(std::span(all).subspan(begin, end - begin), mask, device));
    begin = end;
  }
  return plan;
}

}  // namespace

AttentionPlan plan_attention(const Microbatch& batch, int64_t pool_begin, int64_t window, const HeadShape& shape,
                             at::Device device) {
  GAGGLE_CHECK(batch.past.empty() || static_cast<int64_t>(batch.past.size()) == batch.decoder.sequences());
  std::vector<Sequence> all;
  for (size_t s = 0; s + 1 < batch.decoder.starts.size(); ++s) {
    const int64_t begin = batch.decoder.starts[s], count = batch.decoder.starts[s + 1] - begin;
    Sequence& sequence = all.emplace_back(Sequence{begin, count, pool_begin + begin, count});
    if (!batch.past.empty()) sequence.past = batch.past[s];
  }
  return plan_of(std::move(all), {true, window}, shape, device);
}

AttentionPlan plan_encoder_attention(const TokenSequences& tokens, const HeadShape& shape, at::Device device) {
  std::vector<Sequence> all;
  for (size_t s = 0; s + 1 < tokens.starts.size(); ++s) {
    const int64_t begin = tokens.starts[s], count = tokens.starts[s + 1] - begin;
    all.push_back({begin, count, begin, count});
  }
  return plan_of(std::move(all), {false, 0}, shape, device);
}

AttentionPlan plan_cross_attention(const Microbatch& batch, std::span<const int64_t> starts, const HeadShape& shape,
                                   at::Device device) {
  GAGGLE_CHECK(static_cast<int64_t>(batch.sources.size()) == batch.decoder.sequences());
  std::vector<Sequence> all;
  for (size_t s = 0; s < batch.sources.size(); ++s) {
    const auto source = static_cast<size_t>(batch.sources[s]);
    GAGGLE_CHECK(source + 1 < starts.size(), "source {} of {}", source, starts.size());
    const int64_t queries = batch.decoder.starts[s + 1] - batch.decoder.starts[s];
    if (s > 0 && batch.sources[s] == batch.sources[s - 1])  // neighbours of one source are one: nothing is masked
      all.back().rows += queries;
    else
      all.push_back({batch.decoder.starts[s], queries, starts[source], starts[source + 1] - starts[source]});
  }
  return plan_of(std::move(all), {false, 0}, shape, device);
}

}  // namespace gaggle
