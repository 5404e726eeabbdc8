// How byte-level BPE cuts a text, by the name that a GGUF file gives it (tokenizer.ggml.pre).
#pragma once

#include <map>
#include <string>
#include <vector>

namespace gaggle {

// What the models that llama.cpp groups under one name have in their own tokenizer.json.
struct PreRule {
  std::vector<const char*> patterns;  // one after the other; what they match stands alone
  bool nfc = false;
  bool ignore_merges = false;
  bool add_bos = false;  // where the file does not say
};

const std::map<std::string, PreRule>& pre_rules();

}  // namespace gaggle
