// What transformers' tokenizer classes settle themselves, whatever a folder's files leave open.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace gaggle {

// A class that is not in the table, as one that is not named, leaves everything to tokenizer.json.
struct TokenizerClass {
  std::string_view name;                        // without "Tokenizer" or "TokenizerFast" at its end
  std::string_view bos, eos, unk, pad;          // tokens where tokenizer_config.json has no such key; "": none
  std::optional<bool> adds_bos = std::nullopt;  // set: it makes the post-processor anew, with this add_bos_token
  // "legacy" and add_prefix_space say how tokenizer.model's pieces stand behind spaces, not what ByteLevel does.
  bool space_by_model = false;
};

// `name` as tokenizer_class has it.
const TokenizerClass& tokenizer_class(const std::string& name);

}  // namespace gaggle
