#include "eval/greedy.h"

#include <numeric>

#include "base/error.h"
#include "eval/score.h"

namespace gaggle {
namespace {

// A sequence still being written.
struct Active {
  size_t prompt = 0;
  std::vector<int64_t> past;  // its rows in the cache
  int32_t last = 0;           // the token to feed next
};

std::vector<int32_t> best_tokens(BaseModel& base, const at::Tensor& hidden, std::span<const int64_t> rows) {
  const auto best = base.logits(hidden, rows).argmax(1).to(at::kCPU);
  const int64_t* ids = best.data_ptr<int64_t>();
  return {ids, ids + best.numel()};
}

void generate_batch(BaseModel& base, SiteAdapter* adapter, std::span<const std::span<const int32_t>> prompts,
                    const std::vector<size_t>& batch, const GreedyOptions& options,
                    std::vector<std::vector<int32_t>>& outputs) {
  Rows rows;
  for (const size_t i : batch) append_sequence(rows, prompts[i], 0);
  KeyValueCache cache;
  std::vector<Active> active(batch.size());
  std::vector<int64_t> last_rows(batch.size());
  for (size_t s = 0; s < batch.size(); ++s) {
    GAGGLE_CHECK(!prompts[batch[s]].empty(), "a prompt without tokens cannot be continued");
    active[s].prompt = batch[s];
    active[s].past.resize(prompts[batch[s]].size());
    std::iota(active[s].past.begin(), active[s].past.end(), rows.starts[s]);
    last_rows[s] = rows.starts[s + 1] - 1;
  }
  for (int64_t step = 0; step < options.max_new_tokens; ++step) {
    if (options.between) options.between();
    rows.segments = {{0, 0, rows.count()}};
    const auto hidden = base.forward(rows, adapter, &cache);
    const auto tokens = best_tokens(base, hidden, last_rows);
    std::vector<Active> going;
    for (size_t s = 0; s < active.size(); ++s) {
      if (tokens[s] == options.end) continue;
      outputs[active[s].prompt].push_back(tokens[s]);
      if (options.on_token) options.on_token(active[s].prompt, tokens[s]);
      active[s].last = tokens[s];
      going.push_back(std::move(active[s]));
    }
    active = std::move(going);
    if (active.empty()) return;
    // The next pass: one row a sequence, which will lie behind what is cached now.
    rows = {};
    last_rows.clear();
    for (Active& sequence : active) {
      last_rows.push_back(rows.count());
      append_sequence(rows, {&sequence.last, 1}, static_cast<int64_t>(sequence.past.size()));
      rows.past.push_back(sequence.past);
      sequence.past.push_back(cache.length + rows.count() - 1);
    }
  }
}

}  // namespace

std::vector<std::vector<int32_t>> generate_greedy(BaseModel& base, SiteAdapter* adapter,
                                                  std::span<const std::span<const int32_t>> prompts,
                                                  const GreedyOptions& options) {
  std::vector<std::vector<int32_t>> outputs(prompts.size());
  std::vector<int64_t> lengths;
  for (const auto& prompt : prompts)
    lengths.push_back(static_cast<int64_t>(prompt.size()) + options.max_new_tokens);
  for (const auto& batch : batches_by_length(lengths, options.token_budget))
    generate_batch(base, adapter, prompts, batch, options, outputs);
  return outputs;
}

}  // namespace gaggle
