// Whose sequence every token of a pass is, also where it goes on behind a cache: for routing that chooses once for a
// whole sequence.
#pragma once

#include <ATen/ATen.h>

#include <vector>

#include "base/microbatch.h"

namespace gaggle {

// Sequences of one side, numbered from the first pass that fills a cache on.
class PassSequences {
 public:
  // A sequence that begins in the pass, and its prompt there.
  struct Prompt {
    int64_t begin = 0, tokens = 0;
  };

  // `past` as in Microbatch, of this side; without any, counting begins anew.
  void begin(const TokenSequences& tokens, const std::vector<std::vector<int64_t>>& past);
  const std::vector<Prompt>& prompts() const { return prompts_; }     // of those that begin, in order
  const std::vector<int64_t>& of_token() const { return of_token_; }  // [T] its sequence's number
  int64_t count() const { return count_; }                            // of sequences so far
  at::Tensor of_token(at::Device device) const;                       // the same, int64
  // rows [T, n] → their means over each new sequence's prompt, [new, n].
  at::Tensor prompt_means(const at::Tensor& rows) const;

 private:
  std::vector<Prompt> prompts_;
  std::vector<int64_t> of_token_, of_row_;  // of_row_: by row of the cache
  int64_t count_ = 0;
};

}  // namespace gaggle
