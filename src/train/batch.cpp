#include "train/batch.h"

#include "base/error.h"

namespace gaggle {

std::vector<Sample> mixed_batch(TaskMix& mix, const std::vector<const TokenTask*>& tasks, int64_t step,
                                int64_t batch_size) {
  std::vector<Sample> batch;
  std::vector<int64_t> seen(tasks.size(), 0);
  for (int64_t i = step * batch_size; i < (step + 1) * batch_size; ++i) {
    const Draw draw = mix.draw(i);
    const auto task = static_cast<size_t>(draw.task);
    batch.push_back(
        {i, draw.task, &tasks[task]->examples(Split::train)[static_cast<size_t>(draw.example)], seen[task]++});
  }
  return batch;
}

LossAverage loss_average_named(const std::string& word) {
  return word == "example" ? LossAverage::example : word == "sum" ? LossAverage::sum : LossAverage::token;
}

const char* name_of(LossAverage average) {
  return average == LossAverage::example ? "example" : average == LossAverage::sum ? "sum" : "token";
}

std::vector<float> loss_weights(std::span<const Sample> batch, LossAverage average) {
  double tokens = 0;
  for (const Sample& sample : batch) tokens += static_cast<double>(sample.example->target.size());
  const auto samples = static_cast<double>(batch.size());
  std::vector<float> weights;
  for (const Sample& sample : batch) {
    const auto of_sample = static_cast<double>(sample.example->target.size());
    const double weight = average == LossAverage::token     ? 1 / tokens
                          : average == LossAverage::example ? 1 / (samples * of_sample)
                                                            : 1 / samples;
    weights.push_back(static_cast<float>(weight));
  }
  return weights;
}

std::vector<Microbatch> lane_microbatches(std::span<const Sample> batch, std::span<const float> weights, int64_t lane,
                                          int64_t lanes, int64_t token_budget, bool with_choices) {
  const std::span<const Sample> mine = lane_samples(batch, lane, lanes);
  if (mine.empty()) return {};
  const auto first = static_cast<size_t>(mine.data() - batch.data());
  return make_microbatches(
      mine, token_budget,
      {weights.begin() + static_cast<int64_t>(first), weights.begin() + static_cast<int64_t>(first + mine.size())},
      with_choices);
}

int64_t fed_tokens(const TokenExample& example) {
  return static_cast<int64_t>(example.source.size() + example.input.size() + example.target.size()) - 1;
}

}  // namespace gaggle
