#include "train/passed_batches.h"

namespace gaggle {
namespace {

// Targets lie in the order of the tokens, as segments do.
void add_weighted(const float* values, const Microbatch& batch, std::span<double> sums) {
  std::vector<double> of_part(sums.size(), 0);
  size_t segment = 0;
  for (size_t i = 0; i < batch.target_weights.size(); ++i) {
    while (batch.decoder.segments[segment].end <= batch.scored_tokens[i]) ++segment;
    of_part[static_cast<size_t>(batch.decoder.segments[segment].member)] +=
        static_cast<double>(values[i]) * static_cast<double>(batch.target_weights[i]);
  }
  for (size_t t = 0; t < sums.size(); ++t) sums[t] += of_part[t];
}

}  // namespace

void PassedBatches::add(const at::Tensor& nll, Microbatch batch, std::span<double> sums) {
  nll_.push_back(nll);
  batches_.push_back(std::move(batch));
  sums_.push_back(sums);
}

void PassedBatches::add_losses() const {
  if (nll_.empty()) return;
  const at::Tensor all = at::cat(nll_).to(at::kCPU, at::kFloat);
  const float* values = all.const_data_ptr<float>();
  for (size_t i = 0; i < batches_.size(); values += nll_[i++].numel()) add_weighted(values, batches_[i], sums_[i]);
}

}  // namespace gaggle
