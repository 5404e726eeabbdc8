// The "precompiled_charsmap" of SentencePiece models: which characters a text has instead of others (NFKC with
// white space and controls made one, for T5).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gaggle {

// Applied as the tokenizers library's Precompiled does (crate spm_precompiled), not as SentencePiece itself:
// a grapheme cluster of at most 5 bytes becomes what its shortest known beginning does, of a longer or unknown
// cluster each character becomes its own replacement. SentencePiece replaces the longest match anywhere.
class Charsmap {
 public:
  // The bytes in base64: uint32 size of a double-array trie (darts-clone), the trie, replacements that end in
  // NUL (SentencePiece, src/normalizer.cc, DecodePrecompiledCharsMap). Throws UserError without a file's name.
  explicit Charsmap(std::string_view base64);
  std::string apply(std::string_view text) const;  // valid UTF-8

 private:
  std::optional<std::string_view> replacement(std::string_view characters) const;
  uint32_t unit(size_t at) const { return at < trie_.size() ? trie_[at] : 0; }

  std::vector<uint32_t> trie_;
  std::string replacements_;
};

}  // namespace gaggle
