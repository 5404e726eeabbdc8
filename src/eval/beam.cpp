// Beam search.
#include <algorithm>
#include <cmath>
#include <tuple>

#include "eval/decoding.h"

namespace gaggle {
namespace {

struct Hypothesis {
  double score = 0;
  std::vector<int32_t> tokens;
};

// The search for one prompt's output. Its beams lie together in the list of active sequences.
struct Search {
  size_t prompt = 0;
  size_t beams = 1;                  // while the prompt alone is there, one
  std::vector<Hypothesis> finished;  // best first; as many as beams are asked for at most
};

struct Candidate {
  double log_probability = 0;
  size_t beam = 0;  // of its prompt's
  int32_t token = 0;
  bool operator<(const Candidate& other) const {  // whether it comes first
    if (log_probability != other.log_probability) return log_probability > other.log_probability;
    return std::tie(beam, token) < std::tie(other.beam, other.token);
  }
};

// The k likeliest tokens of every row of logits [S, vocab], on the CPU; of equals the lower ids.
struct LikeliestTokens {
  at::Tensor log_probabilities;  // [S, k] double
  at::Tensor ids;                // [S, k] int64
};

LikeliestTokens likeliest_tokens(const at::Tensor& logits, int64_t k) {
  k = std::min(k, logits.size(1));
  auto [values, ids] = logits.topk(k, 1);
  // topk leaves open which of equal logits it takes where not all have room.
  if ((logits >= values.narrow(1, k - 1, 1)).sum(1).gt(k).any().item<bool>()) {
    std::tie(values, ids) = logits.sort(/*stable=*/true, 1, /*descending=*/true);
    values = values.narrow(1, 0, k), ids = ids.narrow(1, 0, k);
  }
  // In double: rounding makes no equals of unlike logits.
  const auto sums = logits.logsumexp(1, true).to(at::kDouble);
  return {(values.to(at::kDouble) - sums).to(at::kCPU).contiguous(), ids.to(at::kCPU).contiguous()};
}

// The best `wanted` continuations, in order, of the beams whose rows in `next` begin at `first`.
std::vector<Candidate> best_candidates(std::span<const Sequence> beams, const LikeliestTokens& next, size_t first,
                                       size_t wanted) {
  const auto k = static_cast<size_t>(next.ids.size(1));
  const double* log_probabilities = next.log_probabilities.data_ptr<double>() + first * k;
  const int64_t* ids = next.ids.data_ptr<int64_t>() + first * k;
  std::vector<Candidate> all;
  for (size_t b = 0; b < beams.size(); ++b)
    for (size_t j = b * k; j < (b + 1) * k; ++j)
      all.push_back({beams[b].log_probability + log_probabilities[j], b, static_cast<int32_t>(ids[j])});
  const size_t kept = std::min(wanted, all.size());
  std::partial_sort(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(kept), all.end());
  all.resize(kept);
  return all;
}

void add(std::vector<Hypothesis>& finished, Hypothesis hypothesis, size_t most) {
  const auto place = std::ranges::upper_bound(finished, hypothesis.score, std::greater(), &Hypothesis::score);
  finished.insert(place, std::move(hypothesis));
  if (finished.size() > most) finished.pop_back();
}

// One step of a search, to beams of `length` new tokens. Returns the next beams; none: it is done.
std::vector<Sequence> advance(Search& search, std::span<const Sequence> beams, const std::vector<Candidate>& candidates,
                              int64_t length, const GenerateOptions& options) {
  const auto n = static_cast<size_t>(options.beams);
  const double divisor = std::pow(static_cast<double>(length), options.length_penalty);
  const bool last = length == options.max_new_tokens;
  std::vector<Sequence> next;
  for (size_t rank = 0; rank < candidates.size(); ++rank) {
    const Candidate& candidate = candidates[rank];
    const bool ends = candidate.token == options.end;
    if (ends || last ? rank >= n : next.size() == n) continue;
    Sequence sequence = beams[candidate.beam];
    sequence.log_probability = candidate.log_probability;
    if (!ends) sequence.tokens.push_back(candidate.token);
    if (ends || last)
      add(search.finished, {sequence.log_probability / divisor, std::move(sequence.tokens)}, n);
    else
      next.push_back(std::move(sequence));
  }
  const bool full = search.finished.size() == n;
  if (full && !next.empty() && !(next[0].log_probability / divisor > search.finished.back().score)) next.clear();
  return next;
}

}  // namespace

void generate_beams(Decoding& decoding, std::span<const size_t> batch, const GenerateOptions& options,
                    std::vector<std::vector<int32_t>>& outputs) {
  const int64_t wanted = 2 * options.beams;
  std::vector<Sequence> active;
  std::vector<Search> searches;
  for (const size_t i : batch) searches.push_back({i, 1, {}});
  for (int64_t length = 1; !searches.empty(); ++length) {
    if (options.between) options.between();
    const auto logits = length == 1 ? feed_prompts(decoding, batch, active) : feed_last_tokens(decoding, active);
    const LikeliestTokens tokens = likeliest_tokens(logits, wanted);
    std::vector<Sequence> going;
    std::vector<Search> open;
    size_t first = 0;
    for (Search& search : searches) {
      const auto beams = std::span(active).subspan(first, search.beams);
      const auto candidates = best_candidates(beams, tokens, first, static_cast<size_t>(wanted));
      auto next = advance(search, beams, candidates, length, options);
      first += search.beams;
      if (next.empty()) {
        outputs[search.prompt] = std::move(search.finished[0].tokens);
        if (options.on_token)
          for (const int32_t token : outputs[search.prompt]) options.on_token(search.prompt, token);
        continue;
      }
      search.beams = next.size();
      std::ranges::move(next, std::back_inserter(going));
      open.push_back(std::move(search));
    }
    active = std::move(going);
    searches = std::move(open);
  }
}

}  // namespace gaggle
