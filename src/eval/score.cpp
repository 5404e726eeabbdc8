#include "eval/score.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"

namespace gaggle {
namespace {

int64_t size_of(const auto& range) {
  return static_cast<int64_t>(range.size());
}

// Rows that a question costs: every token that is fed, once.
int64_t rows_of(const Question& question) {
  int64_t rows = size_of(question.source) + size_of(question.prompt);
  for (const auto& continuation : question.continuations) rows += size_of(continuation) - 1;
  return rows;
}

void add_target(Rows& rows, int64_t row, int32_t id) {
  rows.target_rows.push_back(row);
  rows.target_ids.push_back(id);
}

// Which score every target belongs to, in the order of Rows::target_ids.
using Owners = std::vector<ContinuationScore*>;

void add_scores(BaseModel& base, SiteAdapter* adapter, Rows& rows, KeyValueCache* cache, const Owners& owners) {
  if (rows.ids.empty()) return;
  cover_with_one_segment(rows);
  const auto nll = base.nll(base.forward(rows, adapter, cache), rows).to(at::kCPU, at::kFloat).contiguous();
  GAGGLE_CHECK(nll.numel() == size_of(owners));
  for (size_t i = 0; i < owners.size(); ++i) {
    owners[i]->nll += static_cast<double>(nll.data_ptr<float>()[i]);
    owners[i]->tokens += 1;
  }
}

void score_batch(BaseModel& base, SiteAdapter* adapter, std::span<const Question> questions,
                 const std::vector<size_t>& batch, std::vector<std::vector<ContinuationScore>>& scores) {
  // First the prompts; a single continuation goes along with its prompt.
  Rows first, second;
  first.starts = second.starts = {0};
  Owners first_owners, second_owners;
  for (const size_t i : batch) {
    const Question& question = questions[i];
    GAGGLE_CHECK(!question.prompt.empty(), "a prompt without tokens cannot be continued");
    const int64_t begin = first.count(), length = size_of(question.prompt);
    append_sequence(first, question.prompt, 0);
    if (!question.source.empty()) {
      append_sequence(first.encoder, question.source, 0);
      first.sources.push_back(first.encoder.sequences() - 1);
    }
    for (size_t c = 0; c < question.continuations.size(); ++c) {
      GAGGLE_CHECK(!question.continuations[c].empty());
      add_target(first, begin + length - 1, question.continuations[c][0]);
      first_owners.push_back(&scores[i][c]);
    }
    if (question.continuations.size() != 1) continue;
    const auto only = question.continuations[0];
    for (size_t j = 0; j + 1 < only.size(); ++j) {
      first.ids.push_back(only[j]);
      first.positions.push_back(static_cast<int32_t>(length + static_cast<int64_t>(j)));
      add_target(first, first.count() - 1, only[j + 1]);
      first_owners.push_back(&scores[i][0]);
    }
    first.starts.back() = first.count();
  }
  // Then what follows, every continuation a sequence of its own behind the cached rows of its prompt.
  for (size_t b = 0; b < batch.size(); ++b) {
    const Question& question = questions[batch[b]];
    if (question.continuations.size() < 2) continue;
    std::vector<int64_t> past(question.prompt.size());
    std::iota(past.begin(), past.end(), first.starts[b]);
    for (size_t c = 0; c < question.continuations.size(); ++c) {
      const auto continuation = question.continuations[c];
      if (continuation.size() < 2) continue;
      const int64_t begin = second.count();
      append_sequence(second, continuation.first(continuation.size() - 1), size_of(question.prompt));
      second.past.push_back(past);
      if (!question.source.empty()) second.sources.push_back(first.sources[b]);
      for (size_t j = 1; j < continuation.size(); ++j) {
        add_target(second, begin + static_cast<int64_t>(j) - 1, continuation[j]);
        second_owners.push_back(&scores[batch[b]][c]);
      }
    }
  }
  if (second.ids.empty()) {
    add_scores(base, adapter, first, nullptr, first_owners);
    return;
  }
  KeyValueCache cache;
  add_scores(base, adapter, first, &cache, first_owners);
  add_scores(base, adapter, second, &cache, second_owners);
}

}  // namespace

void cover_with_one_segment(Rows& rows) {
  rows.segments = {{0, 0, rows.count()}};
  if (rows.encoder.count() > 0) rows.encoder.segments = {{0, 0, rows.encoder.count()}};
}

void append_sequence(RowSet& rows, std::span<const int32_t> ids, int64_t first_position) {
  if (rows.starts.empty()) rows.starts.push_back(0);
  for (size_t i = 0; i < ids.size(); ++i) {
    rows.ids.push_back(ids[i]);
    rows.positions.push_back(static_cast<int32_t>(first_position + static_cast<int64_t>(i)));
  }
  rows.starts.push_back(rows.count());
}

std::vector<std::vector<size_t>> batches_by_length(std::span<const int64_t> lengths, int64_t budget) {
  std::vector<size_t> order(lengths.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return lengths[a] < lengths[b]; });
  std::vector<std::vector<size_t>> batches;
  int64_t used = 0;
  for (const size_t i : order) {
    if (batches.empty() || used + lengths[i] > budget) {
      batches.emplace_back();
      used = 0;
    }
    batches.back().push_back(i);
    used += lengths[i];
  }
  return batches;
}

std::vector<std::vector<ContinuationScore>> score_continuations(BaseModel& base, SiteAdapter* adapter,
                                                                std::span<const Question> questions,
                                                                int64_t token_budget,
                                                                const std::function<void()>& between) {
  std::vector<std::vector<ContinuationScore>> scores;
  std::vector<int64_t> lengths;
  for (const Question& question : questions) {
    scores.emplace_back(question.continuations.size());
    lengths.push_back(rows_of(question));
  }
  for (const auto& batch : batches_by_length(lengths, token_budget)) {
    if (between) between();
    score_batch(base, adapter, questions, batch, scores);
  }
  return scores;
}

int best_choice(std::span<const ContinuationScore> choices) {
  const auto best = std::min_element(choices.begin(), choices.end(),
                                     [](const auto& a, const auto& b) { return a.mean() < b.mean(); });
  return static_cast<int>(best - choices.begin());
}

}  // namespace gaggle
