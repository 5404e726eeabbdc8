// The samples of an optimiser step and their loss weights; data/sampler.h cuts them into rows.
#pragma once

#include <string>
#include <vector>

#include "data/sampler.h"
#include "data/task_mix.h"
#include "data/tokens.h"

namespace gaggle {

// Global samples [step·batch_size, (step+1)·batch_size) of one task.
std::vector<Sample> task_batch(RowSampler& sampler, const std::vector<TokenRow>& rows, int64_t step,
                               int64_t batch_size);

// The same of several tasks; a sample's task is its number among `tasks`.
std::vector<Sample> mixed_batch(TaskMix& mix, const std::vector<const TokenTask*>& tasks, int64_t step,
                                int64_t batch_size);

// d loss / d nll of every target token of each sample of the batch: token: 1 / target tokens of
// the batch; example: 1 / (samples · its own target tokens); sum: 1 / samples.
std::vector<float> loss_weights(std::span<const Sample> batch, const std::string& loss_average);

// Micro-batches of one lane of the batch.
std::vector<Microbatch> lane_microbatches(std::span<const Sample> batch, std::span<const float> weights,
                                          int64_t lane, int64_t lanes, int64_t token_budget,
                                          bool with_choices = false);

// Rows a sample feeds through the model, encoder and decoder.
int64_t fed_rows(const TokenRow& row);

}  // namespace gaggle
