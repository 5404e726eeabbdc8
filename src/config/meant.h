// Which key somebody means who writes another one: by the words of other programs, or by what is near.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace gaggle {

// What keys are called in transformers, PEFT, torch, mttl and papers: the last word of a key that is not ours → ours.
struct KeySynonym {
  std::string_view word, key;
};
extern const std::vector<KeySynonym> key_synonyms;

// "train.learning_rate", "learning_rate", "train.r" → the keys that may be meant: of the same word, else of a synonym; where
// one of them is in the section that was named, that one alone.
std::vector<std::string> keys_meant(std::string_view typed);

// " (did you mean train.lr?)", else by the nearest key, with `prefix` before each; "": none is near.
std::string did_you_mean_key(std::string_view typed, std::string_view prefix = "");

}  // namespace gaggle
