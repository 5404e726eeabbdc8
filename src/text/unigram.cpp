#include "text/unigram.h"

#include "text/unicode.h"

namespace gaggle {
namespace {

// The best cut of the word's bytes up to some place.
struct BestCut {
  double score = 0;
  size_t last = kNone;  // where its last piece begins
  int32_t id = 0;       // of that piece
  static constexpr size_t kNone = static_cast<size_t>(-1);

  void consider(double candidate, size_t begin, int32_t piece) {
    if (last == kNone || candidate > score) *this = {candidate, begin, piece};
  }
};

std::vector<BestCut> best_cuts(const Unigram& unigram, std::string_view word) {
  std::vector<BestCut> cuts(word.size() + 1);  // by where they end
  for (size_t begin = 0; begin < word.size();) {
    size_t next = begin;
    next_char(word, next);
    const double before = cuts[begin].score;
    bool known = false;  // the character at `begin` is a piece itself
    uint32_t node = ByteTrie::kRoot;
    for (size_t end = begin; end < word.size();) {
      const auto found = unigram.pieces.next(node, word[end++]);
      if (!found) break;
      node = *found;
      const int32_t id = unigram.pieces.value(node);
      if (id < 0) continue;
      cuts[end].consider(before + unigram.scores[static_cast<size_t>(id)], begin, id);
      known |= end == next;
    }
    if (!known) cuts[next].consider(before + unigram.unknown_score, begin, unigram.unknown);
    begin = next;
  }
  return cuts;
}

}  // namespace

void append_tokens(const Unigram& unigram, std::string_view word, std::vector<int32_t>& tokens) {
  const std::vector<BestCut> cuts = best_cuts(unigram, word);
  std::vector<std::pair<size_t, int32_t>> pieces;  // where each begins, and its id, the last first
  for (size_t end = word.size(); end > 0; end = cuts[end].last) {
    const bool goes_on = cuts[end].id == unigram.unknown && !pieces.empty() && pieces.back().second == unigram.unknown;
    if (goes_on)
      pieces.back().first = cuts[end].last;
    else
      pieces.emplace_back(cuts[end].last, cuts[end].id);
  }
  for (size_t i = pieces.size(); i-- > 0;) {
    const auto [begin, id] = pieces[i];
    const size_t end = i > 0 ? pieces[i - 1].first : word.size();
    const bool fall_back = id == unigram.unknown && unigram.byte_fallback;
    if (!fall_back || !append_byte_tokens(unigram.ids, word.substr(begin, end - begin), tokens)) tokens.push_back(id);
  }
}

}  // namespace gaggle
