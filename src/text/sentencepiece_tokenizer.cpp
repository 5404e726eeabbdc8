#include "text/sentencepiece_tokenizer.h"

#include <fmt/format.h>
#include <sentencepiece_processor.h>

#include <algorithm>
#include <unordered_map>

#include "base/error.h"
#include "base/file.h"
#include "base/sha256.h"
#include "text/added_tokens.h"
#include "text/tokenizer_class.h"
#include "text/unicode.h"

namespace gaggle {
namespace {

constexpr int kT5Sentinels = 100;  // <extra_id_99> … <extra_id_0> behind the pieces

// T5's own files have <pad>, </s>, <unk> first and no <s>.
bool is_t5(const sentencepiece::SentencePieceProcessor& processor, const TokenizerConfig& config) {
  if (!config.tokenizer_class.empty()) return config.tokenizer_class.starts_with("T5Tokenizer");
  return processor.pad_id() == 0 && processor.eos_id() == 1 && processor.unk_id() == 2 && processor.bos_id() < 0;
}

class SentencePieceTokenizer final : public Tokenizer {
 public:
  SentencePieceTokenizer(const std::filesystem::path& path, const TokenizerConfig& config) {
    std::string bytes = read_file(path);
    // Messages that stand behind one another are one message: normalizer_spec { add_dummy_prefix: false }.
    const bool heeds = tokenizer_class(config.tokenizer_class).space_by_model;
    legacy_ = config.legacy || !heeds;
    prefix_space_ = config.add_prefix_space.value_or(true) || !heeds;
    if (!legacy_ || !prefix_space_) bytes += std::string_view("\x1a\x02\x18\x00", 4);
    const auto status = processor_.LoadFromSerializedProto(bytes);
    if (!status.ok())
      user_error("{}: this is no SentencePiece model, or it is damaged ({})", path.string(), status.ToString());
    unknown_ = processor_.IdToPiece(processor_.unk_id());
    unknown_size_ = pieces_of(unknown_).size();
    pieces_ = processor_.GetPieceSize();
    for (int id = 0; id < pieces_; ++id)
      if (processor_.IsControl(id) || processor_.IsUnknown(id))
        added_.push_back({.id = id, .content = processor_.IdToPiece(id), .special = true});
    if (processor_.bos_id() >= 0) bos = processor_.bos_id();
    if (processor_.eos_id() >= 0) eos = processor_.eos_id();
    const bool t5 = is_t5(processor_, config);
    add_tokens(config, config.extra_ids.value_or(t5 ? kT5Sentinels : 0));
    if (bos && !t5 && config.add_bos_token.value_or(true)) prefix = {*bos};
    if (eos && (t5 || config.add_eos_token.value_or(false))) suffix = {*eos};
    apply(config, *this);
    digest = token_digest(sha256_hex(bytes), added_, *this);
  }

  std::vector<int32_t> encode(std::span<const TextPiece> pieces) const override {
    const MarkedText marked = joined(pieces);
    const std::string_view text = marked.text;
    std::vector<int32_t> tokens;
    for (const TextPart& part : finder_.split(marked)) {
      if (part.id >= 0) {
        // The space before the whole text stays before a token that is not special, where the model keeps spaces.
        if (!legacy_ && prefix_space_ && part.begin == 0 && !by_id_.at(part.id).special)
          tokens = pieces_behind("", true);
        tokens.push_back(part.id);
        continue;
      }
      const std::string_view stretch = text.substr(part.begin, part.end - part.begin);
      const std::vector<int> ids = legacy_ ? pieces_of(stretch) : pieces_behind(stretch, part.begin == 0);
      tokens.insert(tokens.end(), ids.begin(), ids.end());
    }
    return tokens;
  }

  std::string decode(std::span<const int32_t> ids) const override {
    std::string text;
    std::vector<int> run;
    const auto flush = [&] {
      std::string part;
      const auto status = processor_.Decode(run, &part);
      GAGGLE_CHECK(status.ok(), "SentencePiece: {}", status.ToString());
      // The space before the whole text stands for nothing. SentencePiece takes one away from each run, if from any.
      const bool spaced = !run.empty() && processor_.IdToPiece(run[0]).starts_with("▁");
      const bool taken = legacy_ && prefix_space_;
      if (spaced && taken && !text.empty()) text += ' ';
      const bool first = spaced && !taken && prefix_space_ && text.empty();
      text += first && part.starts_with(' ') ? part.substr(1) : part;
      run.clear();
    };
    for (const int32_t id : ids) {
      if (id < 0 || id >= size_) continue;
      const auto added = by_id_.find(id);
      if (added != by_id_.end() && added->second.special) continue;
      if (added == by_id_.end() && id < pieces_) {
        run.push_back(id);
      } else if (added != by_id_.end()) {
        flush();
        text += added->second.content;
      }
    }
    flush();
    return clean_up_spaces ? without_stray_spaces(std::move(text)) : text;
  }

  std::optional<int32_t> id_of(std::string_view token) const override {
    const auto same = std::ranges::find(added_, token, &AddedToken::content);
    if (same != added_.end()) return same->id;
    const int id = processor_.PieceToId(token);
    return id == processor_.unk_id() && processor_.IdToPiece(id) != token ? std::nullopt : std::optional(id);
  }
  std::string token_of(int32_t id) const override {
    const auto added = by_id_.find(id);
    if (added != by_id_.end()) return added->second.content;
    return id >= 0 && id < pieces_ ? processor_.IdToPiece(id) : "";
  }
  int32_t size() const override { return size_; }

 private:
  std::vector<int> pieces_of(std::string_view text) const {
    std::vector<int> ids;
    const auto status = processor_.Encode(text, &ids);
    GAGGLE_CHECK(status.ok(), "SentencePiece: {}", status.ToString());
    return ids;
  }

  // Without "legacy", as transformers does it: a space stands before the whole text only. A stretch that begins with
  // one is encoded behind the unknown token's letters, so that a model that strips spaces keeps it.
  std::vector<int> pieces_behind(std::string_view stretch, bool first) const {
    std::string text(stretch);
    replace_every(text, "▁", " ");
    if (first && prefix_space_) text.insert(0, "▁");
    if (!(first && prefix_space_) && !text.starts_with(' ')) return pieces_of(text);
    std::vector<int> ids = pieces_of(unknown_ + text);
    if (ids.size() >= unknown_size_) ids.erase(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(unknown_size_));
    return ids;
  }

  void add_tokens(const TokenizerConfig& config, int sentinels) {
    // Replaces what is known of a token of the same spelling.
    const auto add = [&](const AddedToken& token) {
      std::erase_if(added_, [&](const AddedToken& old) { return old.content == token.content; });
      added_.push_back(token);
    };
    // mT5 and the like hold their sentinels among the pieces.
    if (!id_of("<extra_id_0>"))
      for (int i = 0; i < sentinels; ++i)
        add({.id = pieces_ + i, .content = fmt::format("<extra_id_{}>", sentinels - 1 - i), .special = true});
    for (const AddedToken& token : config.added) add(token);
    refuse_unknown(config, [&](auto& token) { return id_of(token).has_value(); });
    for (const NamedToken& one : config.named) {
      const auto known = std::ranges::find(added_, one.token.content, &AddedToken::content);
      if (known != added_.end()) {
        known->special = true;
        continue;
      }
      AddedToken token = one.token;
      const auto last = std::ranges::max_element(added_, {}, &AddedToken::id);
      const int32_t next = last == added_.end() ? pieces_ : std::max(pieces_, last->id + 1);
      token.id = id_of(token.content).value_or(next);
      added_.push_back(token);
    }
    size_ = pieces_;
    for (const AddedToken& token : added_) {
      by_id_.emplace(token.id, token);
      finder_.add(token, token.content);
      size_ = std::max(size_, token.id + 1);
    }
  }

  sentencepiece::SentencePieceProcessor processor_;
  std::vector<AddedToken> added_;
  std::unordered_map<int32_t, AddedToken> by_id_;
  AddedTokenFinder finder_;
  bool legacy_ = true, prefix_space_ = true;
  std::string unknown_;  // the unknown token's text, and as how many pieces it is read
  size_t unknown_size_ = 0;
  int32_t pieces_ = 0, size_ = 0;
};

}  // namespace

std::unique_ptr<Tokenizer> tokenizer_from_sentencepiece(const std::filesystem::path& path,
                                                        const TokenizerConfig& config) {
  return std::make_unique<SentencePieceTokenizer>(path, config);
}

}  // namespace gaggle
