// The samples of an optimiser step and their loss weights; data/sampler.h cuts them into micro-batches.
#pragma once

#include <string>
#include <vector>

#include "data/sampler.h"
#include "data/task_mix.h"
#include "data/tokens.h"

namespace gaggle {

// Global samples [step·batch_size, (step+1)·batch_size); a sample's task is its number among `tasks`.
std::vector<Sample> mixed_batch(TaskMix& mix, const std::vector<const TokenTask*>& tasks, int64_t step,
                                int64_t batch_size);

// What the loss of a batch is the mean over (train.loss_average): its target tokens; its examples, each the
// mean of its tokens; its examples, each the sum of its tokens.
enum class LossAverage { token, example, sum };
LossAverage loss_average_named(const std::string& word);
const char* name_of(LossAverage average);

// d loss / d nll of every target token of each sample of the batch, T_i the target tokens of sample i: token:
// 1 / Σ T_i; example: 1 / (samples · T_i); sum: 1 / samples.
std::vector<float> loss_weights(std::span<const Sample> batch, LossAverage average);

// Micro-batches of one lane of the batch.
std::vector<Microbatch> lane_microbatches(std::span<const Sample> batch, std::span<const float> weights, int64_t lane,
                                          int64_t lanes, int64_t token_budget, bool with_choices = false);

// Tokens that a sample feeds through the model, encoder and decoder.
int64_t fed_tokens(const TokenExample& example);

}  // namespace gaggle
