// Text that is printed while its tokens come.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "job/inputs.h"

namespace gaggle {

// Holds back a character whose bytes are not all there yet, and an end whose spaces the next token may take away.
class TextStream {
 public:
  explicit TextStream(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}
  void add(int32_t token);
  void finish();  // what is left, and the end of the line

 private:
  void print(const std::string& text);  // what of it is not printed yet
  const Tokenizer& tokenizer_;
  std::vector<int32_t> ids_;
  std::string printed_;
};

}  // namespace gaggle
