#include "text/tokenizer_class.h"

#include <algorithm>

namespace gaggle {

const TokenizerClass& tokenizer_class(const std::string& name) {
  static constexpr std::string_view kEnd = "<|endoftext|>";
  static constexpr TokenizerClass kOther{};
  static constexpr TokenizerClass kClasses[] = {
      {"Llama", "<s>", "</s>", "<unk>", "", true, true},
      {"CodeLlama", "<s>", "</s>", "<unk>", "", true},
      {"Gemma", "<bos>", "<eos>", "<unk>", "<pad>", true},
      {"Cohere", "<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>", "<UNK>", "", true},
      {"GPTNeoX", kEnd, kEnd, kEnd, "", false},
      {"GPT2", kEnd, kEnd, kEnd, ""},
      {"CodeGen", kEnd, kEnd, kEnd, ""},
      {"Qwen2", "", kEnd, kEnd, kEnd},
      {"Bloom", "<s>", "</s>", "<unk>", "<pad>"},
      {"T5", "", "</s>", "<unk>", "<pad>", std::nullopt, true},
  };
  const auto found = std::ranges::find_if(kClasses, [&](const TokenizerClass& one) {
    const std::string slow = std::string(one.name) + "Tokenizer";
    return name == slow || name == slow + "Fast";
  });
  return found == std::end(kClasses) ? kOther : *found;
}

}  // namespace gaggle
