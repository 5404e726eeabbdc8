// tokenizer_config.json beside a tokenizer, and the two files that old folders have in its place: which tokens begin
// and end a text, and added tokens of its own.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "text/added_tokens.h"
#include "text/json_file.h"
#include "text/tokenizer.h"

namespace gaggle {

// A token that a key of the config, or the tokenizer's class, gives a meaning.
struct NamedToken {
  std::string key;  // "bos_token"
  AddedToken token;
  bool written_out = false;  // with its flags
  bool by_class = false;     // no file names it
};

struct TokenizerConfig {
  std::filesystem::path path;     // for messages
  std::string tokenizer_class;    // "LlamaTokenizerFast"; "" where no file names one
  std::vector<NamedToken> named;  // bos_token, eos_token and the others, in transformers' order
  std::optional<bool> add_bos_token, add_eos_token;
  std::optional<bool> add_prefix_space;
  bool space_as_it_is = false;  // add_prefix_space is null
  bool clean_up_spaces = false;
  std::optional<int> extra_ids;   // T5
  bool legacy = true;             // SentencePiece puts a space before the text behind every added token, not the first
  std::vector<AddedToken> added;  // added_tokens_decoder; in old folders added_tokens.json. By ascending id
  bool added_wins = false;        // over what tokenizer.json says of the same token: added_tokens_decoder does
  std::string chat_template;      // chat_template.jinja's, else the config's; "": none
};

AddedToken read_added_token(const Json& node, int32_t id);  // as tokenizer.json and its config write them

// Everything empty where `folder` has none of the files. Throws UserError.
TokenizerConfig read_tokenizer_config(const std::filesystem::path& folder);

// Throws UserError where the config names a bos or eos token that is not `known`. (transformers would add it, as it
// does with the other tokens, under an id of which the frozen base has learnt nothing.)
void refuse_unknown(const TokenizerConfig& config, const std::function<bool(const std::string&)>& known);

// Sets the chat template, bos and eos by the config's tokens, then, for the classes of transformers that make their own
// rule (Llama, Gemma, …), prefix and suffix by add_bos_token and add_eos_token.
void apply(const TokenizerConfig& config, Tokenizer& tokenizer);

}  // namespace gaggle
