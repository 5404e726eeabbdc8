#include "eval/score.h"

#include <algorithm>
#include <numeric>
#include <set>

#include "base/error.h"

namespace gaggle {
namespace {

int64_t size_of(const auto& range) { return static_cast<int64_t>(range.size()); }

// Every token of it that is fed, once.
int64_t tokens_of(const Question& question) {
  int64_t tokens = size_of(question.source) + size_of(question.prompt);
  for (const auto& continuation : question.continuations) tokens += size_of(continuation) - 1;
  return tokens;
}

// One pass over the base, and the score that each of its targets belongs to.
struct ScoringPass {
  Microbatch batch;
  std::vector<ContinuationScore*> scores;  // [N], as batch.target_ids

  // `ids` follow each other, the first of them what follows `token`.
  void add_targets(int64_t token, std::span<const int32_t> ids, ContinuationScore& score) {
    for (const int32_t id : ids) {
      batch.scored_tokens.push_back(token++);
      batch.target_ids.push_back(id);
      scores.push_back(&score);
    }
  }

  void run(BaseModel& base, SiteAdapter* adapter, KeyValueCache* cache) {
    cover_with_one_segment(batch);
    const at::Tensor nll = base.nll(base.forward(batch, adapter, cache), batch).to(at::kCPU, at::kFloat).contiguous();
    GAGGLE_CHECK(nll.numel() == size_of(scores));
    for (size_t i = 0; i < scores.size(); ++i) {
      scores[i]->nll += static_cast<double>(nll.const_data_ptr<float>()[i]);
      scores[i]->tokens += 1;
    }
  }
};

// Of the longest text. Those that share a prompt's pass are turned alike, so it stands for all of them.
int64_t text_length(const Question& question) {
  int64_t longest = 0;
  for (const auto& continuation : question.continuations) longest = std::max(longest, size_of(continuation));
  return size_of(question.prompt) + longest;
}

// Where positions are turned by the length of a text, continuations of other lengths need a prompt of their own: each
// is a question then. In the same order, so that the scores are too.
std::vector<Question> split_where_turned_apart(std::span<const Question> questions, const RopeScaling& rope) {
  std::vector<Question> split;
  for (const Question& question : questions) {
    std::set<int64_t> classes;
    for (const auto& continuation : question.continuations)
      classes.insert(rope.length_class(size_of(question.prompt) + size_of(continuation)));
    if (classes.size() < 2)
      split.push_back(question);
    else
      for (const auto& continuation : question.continuations)
        split.push_back({question.source, question.prompt, {continuation}});
  }
  return split;
}

using Scores = std::vector<std::vector<ContinuationScore>>;  // [questions][continuations]

// The prompts, each with the first token of all its continuations; a single continuation goes along whole.
ScoringPass pass_of_prompts(std::span<const Question> questions, std::span<const size_t> batch, Scores& scores) {
  ScoringPass pass;
  TokenSequences &decoder = pass.batch.decoder, &encoder = pass.batch.encoder;
  for (const size_t i : batch) {
    const Question& question = questions[i];
    GAGGLE_CHECK(!question.prompt.empty(), "a prompt without tokens cannot be continued");
    append_sequence(decoder, question.prompt);
    decoder.lengths.push_back(text_length(question));
    decoder.prompts.push_back(size_of(question.prompt));
    if (!question.source.empty()) {
      append_sequence(encoder, question.source);
      pass.batch.sources.push_back(encoder.sequences() - 1);
    }
    const int64_t last = decoder.count() - 1;
    const bool single = question.continuations.size() == 1;
    for (size_t c = 0; c < question.continuations.size(); ++c) {
      const auto continuation = question.continuations[c];
      GAGGLE_CHECK(!continuation.empty());
      if (single) extend_sequence(decoder, continuation.first(continuation.size() - 1));
      pass.add_targets(last, single ? continuation : continuation.first(1), scores[i][c]);
    }
  }
  return pass;
}

// What follows: a sequence for each continuation, behind the cached tokens of its prompt.
ScoringPass pass_of_continuations(std::span<const Question> questions, std::span<const size_t> batch,
                                  const Microbatch& prompts, Scores& scores) {
  ScoringPass pass;
  TokenSequences& decoder = pass.batch.decoder;
  for (size_t b = 0; b < batch.size(); ++b) {
    const Question& question = questions[batch[b]];
    if (question.continuations.size() < 2) continue;
    std::vector<int64_t> past(question.prompt.size());
    std::iota(past.begin(), past.end(), prompts.decoder.starts[b]);
    for (size_t c = 0; c < question.continuations.size(); ++c) {
      const auto continuation = question.continuations[c];
      if (continuation.size() < 2) continue;
      pass.add_targets(decoder.count(), continuation.subspan(1), scores[batch[b]][c]);
      append_sequence(decoder, continuation.first(continuation.size() - 1), size_of(past));
      decoder.lengths.push_back(text_length(question));
      pass.batch.past.push_back(past);
      if (!question.source.empty()) pass.batch.sources.push_back(prompts.sources[b]);
    }
  }
  return pass;
}

}  // namespace

std::vector<std::vector<size_t>> batches_by_length(std::span<const int64_t> lengths, int64_t budget) {
  std::vector<size_t> order(lengths.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, {}, [&](size_t i) { return lengths[i]; });
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
                                                                std::span<const Question> given, int64_t token_budget,
                                                                const std::function<void()>& between) {
  const std::vector<Question> questions = split_where_turned_apart(given, base.spec().rope_scaling);
  Scores scores;
  std::vector<int64_t> lengths;
  for (const Question& question : questions) {
    scores.emplace_back(question.continuations.size());
    lengths.push_back(tokens_of(question));
  }
  for (const auto& batch : batches_by_length(lengths, token_budget)) {
    if (between) between();
    ScoringPass prompts = pass_of_prompts(questions, batch, scores);
    ScoringPass continuations = pass_of_continuations(questions, batch, prompts.batch, scores);
    const bool both = !continuations.scores.empty();
    KeyValueCache cache;
    prompts.run(base, adapter, both ? &cache : nullptr);
    if (both) continuations.run(base, adapter, &cache);
  }
  Scores joined;
  auto part = scores.begin();
  for (const Question& question : given) {
    std::vector<ContinuationScore>& all = joined.emplace_back();
    do {
      all.insert(all.end(), part->begin(), part->end());
      ++part;
    } while (all.size() < question.continuations.size());
  }
  return joined;
}

}  // namespace gaggle
