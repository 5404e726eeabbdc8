#include "text/bpe.h"

#include <queue>

#include "text/unicode.h"

namespace gaggle {
namespace {

std::vector<int32_t> initial_tokens(const Bpe& bpe, std::string_view word) {
  std::vector<int32_t> tokens;
  bool after_unknown = false;
  for (size_t at = 0; at < word.size();) {
    const size_t begin = at;
    next_char(word, at);
    const std::string_view character = word.substr(begin, at - begin);
    if (const auto id = find_id(bpe.ids, character)) {
      tokens.push_back(*id);
    } else if (!bpe.byte_fallback || !append_byte_tokens(bpe.ids, character, tokens)) {
      if (bpe.unknown && !(after_unknown && bpe.fuse_unknown)) tokens.push_back(*bpe.unknown);
      after_unknown = bpe.unknown.has_value();
      continue;
    }
    after_unknown = false;
  }
  return tokens;
}

struct Symbol {
  int32_t id;
  int32_t previous, next;  // -1: none
};

struct Candidate {
  int32_t rank, left, id;
  uint64_t pair;                                  // as it was found: stale once either side has been merged
  bool operator<(const Candidate& other) const {  // the top of a priority_queue is its largest
    return rank != other.rank ? rank > other.rank : left > other.left;
  }
};

}  // namespace

std::string add_merge(Bpe& bpe, const std::string& left, const std::string& right, int32_t rank) {
  int32_t ids[3], *id = ids;
  for (const std::string& token : {left, right, left + right}) {
    const auto known = find_id(bpe.ids, token);
    if (!known) return token;
    *id++ = *known;
  }
  bpe.merges.insert_or_assign(Bpe::pair_key(ids[0], ids[1]), Merge{rank, ids[2]});
  return "";
}

void append_tokens(const Bpe& bpe, std::string_view word, std::vector<int32_t>& tokens) {
  if (bpe.ignore_merges) {
    if (const auto id = find_id(bpe.ids, word)) {
      tokens.push_back(*id);
      return;
    }
  }
  const std::vector<int32_t> initial = initial_tokens(bpe, word);
  const auto count = static_cast<int32_t>(initial.size());
  std::vector<Symbol> symbols;
  symbols.reserve(initial.size());
  for (int32_t i = 0; i < count; ++i)
    symbols.push_back({initial[static_cast<size_t>(i)], i - 1, i + 1 < count ? i + 1 : -1});
  const auto symbol = [&](int32_t i) -> Symbol& { return symbols[static_cast<size_t>(i)]; };

  std::priority_queue<Candidate> candidates;
  const auto consider = [&](int32_t left) {
    if (left < 0 || symbol(left).next < 0) return;
    const uint64_t pair = Bpe::pair_key(symbol(left).id, symbol(symbol(left).next).id);
    if (const auto found = bpe.merges.find(pair); found != bpe.merges.end())
      candidates.push({found->second.rank, left, found->second.id, pair});
  };
  for (int32_t i = 0; i + 1 < count; ++i) consider(i);
  constexpr int32_t kMerged = -1;  // id of a symbol that its left neighbour has swallowed
  while (!candidates.empty()) {
    const Candidate best = candidates.top();
    candidates.pop();
    Symbol& left = symbol(best.left);
    if (left.id == kMerged || left.next < 0 || Bpe::pair_key(left.id, symbol(left.next).id) != best.pair) continue;
    Symbol& right = symbol(left.next);
    left.id = best.id;
    left.next = right.next;
    right.id = kMerged;
    if (left.next >= 0) symbol(left.next).previous = best.left;
    consider(left.previous);
    consider(best.left);
  }
  for (int32_t i = count > 0 ? 0 : -1; i >= 0; i = symbol(i).next) tokens.push_back(symbol(i).id);
}

}  // namespace gaggle
