// Text ↔ token ids, as the model's own tokenizer does it.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace gaggle {

// A stretch of text. In `markup`, added and special tokens ("<|im_start|>") become their ids; in plain text
// (examples that people wrote) special tokens stay text.
struct TextPiece {
  std::string text;
  bool markup = false;
};

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  // The pieces as one text (no boundary between them but the tokens found in markup), without BOS or EOS.
  virtual std::vector<int32_t> encode(std::span<const TextPiece> pieces) const = 0;
  virtual std::string decode(std::span<const int32_t> ids) const = 0;  // special tokens left out
  virtual std::optional<int32_t> id_of(std::string_view token) const = 0;
  virtual std::string token_of(int32_t id) const = 0;
  virtual int32_t size() const = 0;

  std::vector<int32_t> encode_plain(std::string_view text) const {
    return encode(std::array{TextPiece{std::string(text), false}});
  }
  std::vector<int32_t> encode_markup(std::string_view text) const {
    return encode(std::array{TextPiece{std::string(text), true}});
  }

  // Ids the tokenizer's own rule puts around a text (post_processor, add_bos_token): prompts get `prefix`.
  std::vector<int32_t> prefix;
  std::vector<int32_t> suffix;
  std::optional<int32_t> bos, eos;
  bool clean_up_spaces = false;  // decode leaves out the spaces that without_stray_spaces does
  std::string chat_template;     // Jinja, as the model's files have it; "": none. No part of the digest
  std::string digest;            // SHA-256 of what decides its ids: part of the token cache's key
};

// As transformers' clean_up_tokenization_spaces: no space before ". ? ! ," and English contractions.
std::string without_stray_spaces(std::string text);

// From a model folder (tokenizer.json, else tokenizer.model / spiece.model, with tokenizer_config.json's rules)
// or a .gguf file. Throws UserError that names the file and what in it is not supported.
std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& path);

}  // namespace gaggle
