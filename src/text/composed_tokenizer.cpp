#include "text/composed_tokenizer.h"

#include <algorithm>
#include <mutex>
#include <unordered_map>
#include <unordered_set>

#include "base/names.h"
#include "text/byte_level.h"

namespace gaggle {
namespace {

// Words come again and again: their tokens are kept, up to a bound, so that a long run does not grow.
class WordCache {
 public:
  bool append(std::string_view word, std::vector<int32_t>& tokens) {
    const std::lock_guard lock(mutex_);
    const auto found = words_.find(word);
    if (found == words_.end()) return false;
    tokens.insert(tokens.end(), found->second.begin(), found->second.end());
    return true;
  }
  void keep(std::string_view word, std::vector<int32_t> tokens) {
    if (word.size() > kLongestWord) return;
    const std::lock_guard lock(mutex_);
    if (words_.size() < kMostWords) words_.emplace(word, std::move(tokens));
  }

 private:
  static constexpr size_t kLongestWord = 64;
  static constexpr size_t kMostWords = 1 << 16;
  std::mutex mutex_;
  std::unordered_map<std::string, std::vector<int32_t>, TextHash, std::equal_to<>> words_;
};

class ComposedTokenizer final : public Tokenizer {
 public:
  explicit ComposedTokenizer(TokenizerParts parts) : parts_(std::move(parts)) {
    for (const auto& [token, id] : ids()) name_token(token, id);
    for (const AddedToken& token : parts_.added) {
      name_token(token.content, token.id);
      added_ids_.emplace(token.content, token.id);
      if (token.special) special_.insert(token.id);
      if (token.normalized)
        normalized_.add(token, normalize(parts_.normalizer, token.content));
      else
        raw_.add(token, token.content);
    }
  }

  std::vector<int32_t> encode(std::span<const TextPiece> pieces) const override {
    std::vector<int32_t> tokens;
    const MarkedText all = joined(pieces);
    for (const TextPart& part : raw_.split(all)) {
      if (part.id >= 0)
        tokens.push_back(part.id);
      else
        encode_between(cut(all, part.begin, part.end), part.begin == 0, tokens);
    }
    return tokens;
  }

  std::string decode(std::span<const int32_t> ids) const override {
    std::vector<std::string> tokens;
    for (const int32_t id : ids)
      if (!special_.contains(id) && id >= 0 && id < size()) tokens.push_back(tokens_[static_cast<size_t>(id)]);
    std::string text = parts_.decoder.empty() ? join(tokens, " ") : decode_tokens(parts_.decoder, std::move(tokens));
    return clean_up_spaces ? without_stray_spaces(std::move(text)) : text;
  }

  std::optional<int32_t> id_of(std::string_view token) const override {
    if (const auto added = find_id(added_ids_, token)) return added;
    return find_id(ids(), token);
  }
  std::string token_of(int32_t id) const override {
    return id >= 0 && id < size() ? tokens_[static_cast<size_t>(id)] : "";
  }
  int32_t size() const override { return static_cast<int32_t>(tokens_.size()); }

 private:
  const TokenIds& ids() const {
    return std::visit([](const auto& model) -> const TokenIds& { return model.ids; }, parts_.model);
  }

  void name_token(const std::string& token, int32_t id) {
    if (id >= size()) tokens_.resize(static_cast<size_t>(id) + 1);
    tokens_[static_cast<size_t>(id)] = token;
  }

  // Text between tokens that are looked for before normalisation.
  void encode_between(const MarkedText& raw, bool first, std::vector<int32_t>& tokens) const {
    if (parts_.normalizer.empty()) return encode_normalized(raw, first, tokens);
    MarkedText normal{normalize(parts_.normalizer, raw.text), {}};
    if (!normalized_.empty()) {
      for (const TextRange& range : raw.markup) {
        const auto place = [&](size_t at) {
          return std::min(normalize(parts_.normalizer, std::string_view(raw.text).substr(0, at)).size(),
                          normal.text.size());
        };
        normal.markup.push_back({place(range.begin), place(range.end)});
      }
    }
    encode_normalized(normal, first, tokens);
  }

  void encode_normalized(const MarkedText& normal, bool first, std::vector<int32_t>& tokens) const {
    for (const TextPart& part : normalized_.split(normal)) {
      if (part.id >= 0) {
        tokens.push_back(part.id);
        continue;
      }
      const std::string_view text = std::string_view(normal.text).substr(part.begin, part.end - part.begin);
      const Words words = pre_tokenize(parts_.pre_tokenizer, text, first && part.begin == 0);
      for (const std::string_view word : words.words) encode_word(word, tokens);
    }
  }

  void encode_word(std::string_view word, std::vector<int32_t>& tokens) const {
    if (cache_.append(word, tokens)) return;
    std::vector<int32_t> of_word;
    const std::string spelled = parts_.byte_level ? spell_bytes(word) : std::string(word);
    std::visit([&](const auto& model) { append_tokens(model, spelled, of_word); }, parts_.model);
    tokens.insert(tokens.end(), of_word.begin(), of_word.end());
    cache_.keep(word, std::move(of_word));
  }

  TokenizerParts parts_;
  std::vector<std::string> tokens_;  // [size] spelling by id, "" where there is none
  TokenIds added_ids_;
  std::unordered_set<int32_t> special_;
  AddedTokenFinder raw_, normalized_;
  mutable WordCache cache_;
};

}  // namespace

std::unique_ptr<Tokenizer> compose_tokenizer(TokenizerParts parts) {
  return std::make_unique<ComposedTokenizer>(std::move(parts));
}

}  // namespace gaggle
