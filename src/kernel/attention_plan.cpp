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

struct Sequence {
  int64_t begin = 0, rows = 0, past = 0;
  const std::vector<int64_t>* past_rows = nullptr;
  int64_t keys() const { return past + rows; }
};

AttentionChunk make_chunk(std::span<const Sequence> members, int64_t own_begin, int64_t window,
                          at::Device device) {
  AttentionChunk chunk;
  chunk.sequences = static_cast<int64_t>(members.size());
  for (const Sequence& sequence : members) {
    chunk.queries = std::max(chunk.queries, sequence.rows);
    chunk.keys = std::max(chunk.keys, sequence.keys());
  }
  const auto n_queries = static_cast<size_t>(chunk.sequences * chunk.queries);
  std::vector<int64_t> query_rows(n_queries), first(n_queries), last(n_queries), rows, slots;
  std::vector<int64_t> key_rows(static_cast<size_t>(chunk.sequences * chunk.keys));
  size_t query = 0, key = 0;
  for (const Sequence& sequence : members) {
    for (int64_t i = 0; i < sequence.rows; ++i) {
      const size_t at = query + static_cast<size_t>(i);
      query_rows[at] = sequence.begin + i;
      last[at] = sequence.past + i + 1;
      first[at] = window > 0 ? std::max<int64_t>(0, last[at] - window) : 0;
      rows.push_back(sequence.begin + i);
      slots.push_back(static_cast<int64_t>(at));
    }
    for (int64_t j = 0; j < sequence.past; ++j)
      key_rows[key + static_cast<size_t>(j)] = (*sequence.past_rows)[static_cast<size_t>(j)];
    for (int64_t j = 0; j < sequence.rows; ++j)
      key_rows[key + static_cast<size_t>(sequence.past + j)] = own_begin + sequence.begin + j;
    query += static_cast<size_t>(chunk.queries);
    key += static_cast<size_t>(chunk.keys);
  }
  chunk.query_rows = to_device(query_rows, device);
  chunk.key_rows = to_device(key_rows, device);
  chunk.first = to_device(first, device);
  chunk.last = to_device(last, device);
  chunk.rows = to_device(rows, device);
  chunk.slots = to_device(slots, device);
  return chunk;
}

}  // namespace

AttentionPlan plan_attention(const Rows& rows, int64_t own_begin, int64_t window, const HeadShape& shape,
                             at::Device device) {
  GAGGLE_CHECK(rows.past.empty() || static_cast<int64_t>(rows.past.size()) == rows.sequences());
  AttentionPlan plan;
  std::vector<Sequence> all;
  for (int64_t s = 0; s < rows.sequences(); ++s) {
    const auto i = static_cast<size_t>(s);
    Sequence sequence{rows.starts[i], rows.starts[i + 1] - rows.starts[i], 0, nullptr};
    if (!rows.past.empty()) {
      sequence.past_rows = &rows.past[i];
      sequence.past = static_cast<int64_t>(rows.past[i].size());
    }
    plan.has_past |= sequence.past > 0;
    if (sequence.rows > 0) all.push_back(sequence);
  }
  std::stable_sort(all.begin(), all.end(), [](const Sequence& a, const Sequence& b) {
    return std::pair(a.keys(), a.rows) < std::pair(b.keys(), b.rows);
  });
  // A chunk grows while the padded rectangle stays within 1.3 times what is real, and its scores within the
  // limit.
  for (size_t begin = 0; begin < all.size();) {
    int64_t queries = 0, keys = 0, real = 0;
    size_t end = begin;
    for (; end < all.size(); ++end) {
      const int64_t q = std::max(queries, all[end].rows), k = std::max(keys, all[end].keys());
      const int64_t n = static_cast<int64_t>(end - begin) + 1, own = all[end].rows * all[end].keys();
      const bool wasteful = 10 * n * q * k > 13 * (real + own) + 10 * 1024 * n;
      if (end > begin && (wasteful || n * q * k * shape.heads > largest_scores)) break;
      queries = q, keys = k, real += own;
    }
    plan.chunks.push_back(make_chunk(std::span(all).subspan(begin, end - begin), own_begin, window, device));
    begin = end;
  }
  return plan;
}

}  // namespace gaggle
