// What a run will cost: time from the measured GEMM rate, memory by kind.
#pragma once

#include "adapter/poly.h"
#include "app/expert_job.h"

namespace gaggle {

// Seconds this item should take one worker.
double item_seconds(const ExpertItem& item, const ExpertJob& job);
// Until the last worker is through.
double job_seconds(const ExpertJob& job);

struct MemoryEstimate {  // bytes of one rank
  uint64_t program = 0;  // libraries and what the process holds besides the base
  uint64_t base = 0;
  uint64_t adapter = 0;      // values, gradients, moments, a checkpoint on its way to the disk
  uint64_t activations = 0;  // of the largest micro-batch
};
MemoryEstimate memory_estimate(const ExpertJob& job);

// Values of an inventory that train, of its skills and of its routing table.
struct TrainedCounts {
  int64_t skills = 0, routing = 0;
};
TrainedCounts trained_counts(const PolySpec& spec);

// fp32: value, gradient, two moments, the start; copy for the base's type; values and moments once more in a
// checkpoint, and the bytes of its file. width: bytes of a value of the base.
uint64_t adapter_bytes(int64_t trained, uint64_t width);
// What a pass over a micro-batch keeps for its backward, and one chunk of logits with its gradient.
uint64_t activation_bytes(const BaseModel& base, const BySide<int64_t>& rows, int64_t targets);

// Forward and backward of one pass over rows, useful FLOP, without attention, which is small at these lengths.
double pass_flops(const BaseModel& base, const std::vector<TokenRow>& rows);
// Of the GEMM rate, by the steps of training on CPUs.
inline constexpr double expected_share = 0.5;

}  // namespace gaggle
