#include "adapter/pass_sequences.h"

#include "kernel/upload.h"

namespace gaggle {

void PassSequences::begin(const TokenSequences& tokens, const std::vector<std::vector<int64_t>>& past) {
  if (past.empty()) {
    count_ = 0;
    of_row_.clear();
  }
  prompts_.clear();
  of_token_.clear();
  for (int64_t s = 0; s < tokens.sequences(); ++s) {
    const auto sequence = static_cast<size_t>(s);
    const int64_t begin = tokens.starts[sequence], end = tokens.starts[sequence + 1];
    int64_t number = count_;
    if (past.empty() || past[sequence].empty()) {
      prompts_.push_back({begin, tokens.prompts.empty() ? end - begin : tokens.prompts[sequence]});
      ++count_;
    } else {
      number = of_row_.at(static_cast<size_t>(past[sequence].back()));
    }
    of_token_.insert(of_token_.end(), static_cast<size_t>(end - begin), number);
  }
  of_row_.insert(of_row_.end(), of_token_.begin(), of_token_.end());
}

at::Tensor PassSequences::of_token(at::Device device) const { return to_device(of_token_, device); }

at::Tensor PassSequences::prompt_means(const at::Tensor& rows) const {
  std::vector<at::Tensor> means;
  for (const Prompt& prompt : prompts_) means.push_back(rows.narrow(0, prompt.begin, prompt.tokens).mean(0));
  return means.empty() ? rows.narrow(0, 0, 0) : at::stack(means);
}

}  // namespace gaggle
