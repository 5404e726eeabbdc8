// Byte-pair encoding of one word: lowest rank first, leftmost of equals (Sennrich et al., 2016).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/token_ids.h"

namespace gaggle {

struct Merge {
  int32_t rank = 0;  // equal ranks are allowed: the leftmost goes first
  int32_t id = 0;    // what the pair becomes
};

struct Bpe {
  TokenIds ids;
  std::unordered_map<uint64_t, Merge> merges;  // by pair_key
  std::optional<int32_t> unknown;
  bool fuse_unknown = false;   // a run of unknown characters is one unknown token
  bool byte_fallback = false;  // unknown characters become "<0xE2>" tokens where the vocabulary has them
  bool ignore_merges = false;  // a word that is a token is that token, whatever its merges

  static uint64_t pair_key(int32_t left, int32_t right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }
};

// The pair of tokens becomes the token left + right. Returns which of the three the vocabulary lacks, or "".
std::string add_merge(Bpe& bpe, const std::string& left, const std::string& right, int32_t rank);

// Appends the tokens of `word` (valid UTF-8; bytes spelled out where the vocabulary is byte-level). Characters
// that the vocabulary lacks are unknown tokens, or nothing where there is no unknown token.
void append_tokens(const Bpe& bpe, std::string_view word, std::vector<int32_t>& tokens);

}  // namespace gaggle
