// What work costs: FLOP, and memory by kind. What FLOP take is speeds.h's.
#pragma once

#include <cstdint>
#include <vector>

#include "base/microbatch.h"
#include "config/config.h"
#include "data/tokens.h"
#include "job/job.h"
#include "train/loop.h"

namespace gaggle {

// Useful FLOP of forward and backward over these examples.
double training_flops(const BaseModel& base, const std::vector<TokenExample>& examples);
// Of scoring the examples [first, last) of a split in passes of `token_budget` tokens, and of generating their answers
// where the metric wants them.
double scoring_flops(const BaseModel& base, const TokenTask& task, Split split, size_t first, size_t last,
                     const EvalConfig& eval, int64_t token_budget);
// By all steps of a phase.
double examples_seen(const PhaseSettings& phase);
// How often a phase looks at its validation examples.
double validations(const PhaseSettings& phase);
double mean_fed_tokens(const std::vector<TokenExample>& examples);
// "passes of about 724 tokens", as a kind of work has it: rounded, so that tasks of like lengths are of one kind.
std::string passes_text(double tokens);
// The same of a phase's micro-batches.
std::string passes_text(const PhaseSettings& phase, double tokens_an_example);

// Bytes of one rank.
struct JobMemory {
  uint64_t program = 0;      // libraries, and what the process holds besides the base
  uint64_t base = 0;         // its weights
  uint64_t adapter = 0;      // what is trained with its optimiser and checkpoint, or the experts that are served
  uint64_t activations = 0;  // of the largest micro-batch
  uint64_t recomputed = 0;   // the same with layers computed again; 0: nothing is kept for a backward pass
  const char* adapter_text = "adapter with optimiser and checkpoint";  // what `adapter` is of
  bool again = false;    // layers are computed again: `activations` is `recomputed`
  uint64_t loading = 0;  // the most that the process has held so far, while it read the base
  uint64_t all() const { return program + base + adapter + activations; }
};

// The same with layers computed again where `asked` (train.recompute) says so, or where else more than `available` bytes
// (-1: not known) would be needed.
JobMemory with_recompute(JobMemory need, const std::string& asked, int64_t available);

// fp32: value, gradient, two moments, the start; a copy in the base's type; values and moments
// once more in a checkpoint, and the bytes of its file.
uint64_t training_bytes(const BaseModel& base, int64_t trained);
struct MicrobatchSize {
  BySide<int64_t> tokens, longest;  // in all, and of one sequence
  int64_t targets = 0;
};
// What is kept of a pass: all that the backward pass asks for, every layer's input, or nothing.
enum class Kept { everything, inputs, nothing };
// What a pass over a micro-batch of this size holds: what it keeps of every layer, one layer's everything, what attention
// works in, and one chunk of logits with its gradient.
uint64_t activation_bytes(const BaseModel& base, const MicrobatchSize& size, Kept kept);

// Of a job over these tasks' examples: micro-batches of at most `budget` tokens (or of the longest example),
// `batch` examples in a step.
JobMemory memory_need(const JobContext& context, uint64_t adapter, const std::vector<const TokenTask*>& tasks,
                      Split split, int64_t batch, BaseUse use);

}  // namespace gaggle
