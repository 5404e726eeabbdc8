#include "text/gguf_tokenizer.h"

#include <algorithm>

#include "base/error.h"
#include "base/names.h"
#include "base/sha256.h"
#include "formats/gguf.h"
#include "text/composed_tokenizer.h"
#include "text/gguf_pre_rules.h"

namespace gaggle {
namespace {

// llama.cpp's token types
constexpr int64_t kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4;

struct Vocabulary {
  const std::vector<std::string>& tokens;
  std::vector<int64_t> types;  // [tokens]
};

Vocabulary read_vocabulary(const GgufFile& file) {
  Vocabulary vocabulary{file.texts("tokenizer.ggml.tokens"), {}};
  if (file.has("tokenizer.ggml.token_type")) vocabulary.types = file.integers("tokenizer.ggml.token_type");
  if (vocabulary.types.empty()) vocabulary.types.assign(vocabulary.tokens.size(), kNormal);
  if (vocabulary.types.size() != vocabulary.tokens.size())
    user_error("{}: {} token types for {} tokens", file.name(), vocabulary.types.size(), vocabulary.tokens.size());
  return vocabulary;
}

void add_vocabulary(const Vocabulary& vocabulary, Bpe& bpe, TokenizerParts& parts) {
  for (size_t i = 0; i < vocabulary.tokens.size(); ++i) {
    const auto id = static_cast<int32_t>(i);
    const int64_t type = vocabulary.types[i];
    bpe.ids.insert_or_assign(valid_utf8(vocabulary.tokens[i]), id);
    const bool special = type == kControl || type == kUnknown;
    if ((special || type == kUserDefined) && !vocabulary.tokens[i].empty())
      parts.added.push_back({.id = id, .content = vocabulary.tokens[i], .special = special});
  }
}

void add_merges(const GgufFile& file, Bpe& bpe) {
  int32_t rank = 0;
  for (const std::string& merge : file.texts("tokenizer.ggml.merges")) {
    const size_t space = merge.find(' ', 1);
    if (space == std::string::npos) user_error("{}: the merge '{}' is no pair of tokens", file.name(), merge);
    const std::string missing = add_merge(bpe, merge.substr(0, space), merge.substr(space + 1), rank++);
    if (!missing.empty())
      user_error("{}: the merge '{}' uses '{}', which is not in the vocabulary", file.name(), merge, missing);
  }
}

// SentencePiece joins the pair whose token scores highest, so every way to cut a token in two is a merge;
// tokens of equal score have equal rank.
void add_scored_merges(const GgufFile& file, const Vocabulary& vocabulary, Bpe& bpe) {
  const std::vector<double> scores = file.numbers("tokenizer.ggml.scores");
  if (scores.size() != vocabulary.tokens.size())
    user_error("{}: {} token scores for {} tokens", file.name(), scores.size(), vocabulary.tokens.size());
  std::vector<double> ordered = scores;
  std::ranges::sort(ordered, std::greater<>());
  for (size_t i = 0; i < scores.size(); ++i) {
    if (vocabulary.types[i] != kNormal) continue;
    const std::string token = valid_utf8(vocabulary.tokens[i]);
    const auto rank = std::ranges::lower_bound(ordered, scores[i], std::greater<>()) - ordered.begin();
    for (size_t at = 0; next_char(token, at), at < token.size();) {
      const auto left = find_id(bpe.ids, std::string_view(token).substr(0, at));
      const auto right = find_id(bpe.ids, std::string_view(token).substr(at));
      if (left && right)
        bpe.merges.insert_or_assign(Bpe::pair_key(*left, *right),
                                    Merge{static_cast<int32_t>(rank), static_cast<int32_t>(i)});
    }
  }
}

struct Description {
  TokenizerParts parts;
  bool add_bos = false;
  std::string rule;  // for the digest
};

Description byte_level(const GgufFile& file, const Vocabulary& vocabulary) {
  const std::string pre = file.text_or("tokenizer.ggml.pre", "default");
  const auto rule = pre_rules().find(pre);
  if (rule == pre_rules().end()) {
    std::vector<std::string> supported;  // no std::views: clang 14 cannot compile those of g++ 12's library
    for (const auto& [name, unused] : pre_rules()) supported.push_back(name);
    user_error("{}: tokenizer.ggml.pre '{}' is not supported (supported: {})", file.name(), pre, join(supported, ", "));
  }
  Description description{.parts = {}, .add_bos = rule->second.add_bos, .rule = "gpt2 " + pre};
  TokenizerParts& parts = description.parts;
  Bpe& bpe = parts.model.emplace<Bpe>();
  add_vocabulary(vocabulary, bpe, parts);
  add_merges(file, bpe);
  bpe.ignore_merges = rule->second.ignore_merges;
  if (rule->second.nfc) parts.normalizer.emplace_back(NormalForm::nfc);
  if (file.flag_or("tokenizer.ggml.add_space_prefix", false)) parts.pre_tokenizer.emplace_back(PrefixSpaceStep{});
  for (const char* pattern : rule->second.patterns) parts.pre_tokenizer.emplace_back(SplitStep{Pattern(pattern)});
  parts.byte_level = true;
  parts.decoder = {ByteLevelDecoder{}};
  return description;
}

Description scored(const GgufFile& file, const Vocabulary& vocabulary) {
  const bool prefix_space = file.flag_or("tokenizer.ggml.add_space_prefix", true);
  Description description{.parts = {}, .add_bos = true, .rule = fmt::format("llama {}", prefix_space)};
  TokenizerParts& parts = description.parts;
  Bpe& bpe = parts.model.emplace<Bpe>();
  add_vocabulary(vocabulary, bpe, parts);
  add_scored_merges(file, vocabulary, bpe);
  bpe.byte_fallback = true;
  bpe.fuse_unknown = true;
  bpe.unknown = static_cast<int32_t>(file.integer_or("tokenizer.ggml.unknown_token_id", 0));
  if (prefix_space) parts.normalizer.emplace_back(PrependText{"▁"});
  parts.normalizer.emplace_back(ReplaceText{Pattern::literal(" "), "▁"});
  parts.decoder = {ReplaceDecoder{Pattern::literal("▁"), " "}, ByteFallbackDecoder{}, FuseDecoder{}};
  if (prefix_space) parts.decoder.emplace_back(StripDecoder{U' ', 1, 0});
  return description;
}

std::string digest_of(const GgufFile& file, const Description& description, const Vocabulary& vocabulary) {
  Sha256 sha;
  sha.update(description.rule);
  const auto add = [&](const std::string& text) { sha.update(fmt::format("\n{} {}", text.size(), text)); };
  for (const std::string& token : vocabulary.tokens) add(token);
  for (const int64_t type : vocabulary.types) add(std::to_string(type));
  if (file.has("tokenizer.ggml.merges"))
    for (const std::string& merge : file.texts("tokenizer.ggml.merges")) add(merge);
  if (file.has("tokenizer.ggml.scores"))
    for (const double score : file.numbers("tokenizer.ggml.scores")) add(fmt::format("{}", score));
  return sha.hex();
}

}  // namespace

std::unique_ptr<Tokenizer> tokenizer_from_gguf(const std::filesystem::path& path) {
  const GgufFile file(path);
  const std::string& model = file.text("tokenizer.ggml.model");
  if (model != "gpt2" && model != "llama")
    user_error("{}: tokenizer.ggml.model '{}' is not supported (supported: gpt2, llama)", file.name(), model);
  const Vocabulary vocabulary = read_vocabulary(file);
  Description description = model == "gpt2" ? byte_level(file, vocabulary) : scored(file, vocabulary);
  const std::string digest = digest_of(file, description, vocabulary);
  const std::vector<AddedToken> added = description.parts.added;
  std::unique_ptr<Tokenizer> tokenizer = compose_tokenizer(std::move(description.parts));
  const auto token = [&](const char* key) -> std::optional<int32_t> {
    if (!file.has(key)) return std::nullopt;
    const int64_t id = file.integer(key);
    if (id < 0 || id >= tokenizer->size())
      user_error("{}: {} is {}, but there are {} tokens", file.name(), key, id, tokenizer->size());
    return static_cast<int32_t>(id);
  };
  tokenizer->bos = token("tokenizer.ggml.bos_token_id");
  tokenizer->eos = token("tokenizer.ggml.eos_token_id");
  if (tokenizer->bos && file.flag_or("tokenizer.ggml.add_bos_token", description.add_bos))
    tokenizer->prefix.push_back(*tokenizer->bos);
  if (tokenizer->eos && file.flag_or("tokenizer.ggml.add_eos_token", false))
    tokenizer->suffix.push_back(*tokenizer->eos);
  tokenizer->chat_template = file.text_or("tokenizer.chat_template", "");
  tokenizer->digest = token_digest(digest, added, *tokenizer);
  return tokenizer;
}

}  // namespace gaggle
