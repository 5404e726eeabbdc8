#include "app/estimate.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "adapter/gate.h"

namespace gaggle {
namespace {

uint64_t resident_bytes() {
  uint64_t all = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> all >> resident;
  return resident * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace

double pass_flops(const BaseModel& base, const std::vector<TokenRow>& rows) {
  const auto head = static_cast<double>(base.spec().vocab * base.spec().hidden);
  double flops = 0;
  for (const TokenRow& row : rows)
    flops +=
        4 * static_cast<double>(base.linear_weights(Side::encoder)) * static_cast<double>(row.source.size()) +
        4 * static_cast<double>(base.linear_weights(Side::decoder)) *
            static_cast<double>(row.input.size() + row.target.size() - 1) +
        4 * head * static_cast<double>(row.target.size());
  return flops;
}

double item_seconds(const ExpertItem& item, const ExpertJob& job) {
  const Recipe& recipe = item.recipe;
  const double epochs = (recipe.train_lora ? epochs_of(recipe.lora, *item.task) : 0) +
                        (recipe.gate.schedule.steps > 0 ? epochs_of(recipe.gate, *item.task) : 0);
  // Validation is half the work of a training pass: the base, the LoRA, the gated LoRA.
  const double passes = 0.5 * (recipe.gate.schedule.steps > 0 ? 3 : 2);
  const double flops = epochs * pass_flops(job.base, item.task->rows(Split::train)) +
                       passes * pass_flops(job.base, item.task->rows(Split::validation));
  return flops / (expected_share * std::max(1.0, job.gemm_flops)) /
         static_cast<double>(job.config.cluster.ranks_per_expert);
}

double job_seconds(const ExpertJob& job) {
  double all = 0, longest = 0;
  for (const ExpertItem& item : job.items) {
    if (!item.version.empty()) continue;
    all += item_seconds(item, job);
    longest = std::max(longest, item_seconds(item, job));
  }
  return std::max(longest, all / static_cast<double>(worker_count(job)));
}

MemoryEstimate memory_estimate(const ExpertJob& job) {
  const auto width = static_cast<uint64_t>(c10::elementSize(job.base.dtype()));
  MemoryEstimate need;
  need.base = static_cast<uint64_t>(job.base.weight_bytes());
  const uint64_t now = resident_bytes();
  need.program = job.base.device().is_cpu() && now > need.base ? now - need.base : now;
  int64_t trained = 0, longest = 0, targets = 0;
  double source = 0, fed = 0;
  for (const ExpertItem& item : job.items) {
    const Recipe& recipe = item.recipe;
    trained = std::max(trained,
                       recipe.train_lora ? lora_layout(recipe.sites).size() : gate_layout(recipe.sites).size());
    for (const TokenRow& row : item.task->rows(Split::train)) {
      longest = std::max(longest, fed_rows(row));
      targets = std::max(targets, static_cast<int64_t>(row.target.size()));
      source += static_cast<double>(row.source.size()), fed += static_cast<double>(fed_rows(row));
    }
  }
  need.adapter = adapter_bytes(trained, width);
  const int64_t rows = std::max(job.config.train.tokens_per_microbatch, longest);
  const auto encoder = static_cast<int64_t>(static_cast<double>(rows) * source / fed);
  need.activations =
      activation_bytes(job.base, {rows - encoder, encoder}, targets * job.config.train.batch_size);
  return need;
}

TrainedCounts trained_counts(const PolySpec& spec) {
  TrainedCounts counts;
  const ParameterLayout trained = trained_layout(spec);
  for (const ParameterInfo& tensor : trained.tensors())
    (is_router(tensor) ? counts.routing : counts.skills) += tensor.count;
  return counts;
}

uint64_t adapter_bytes(int64_t trained, uint64_t width) {
  return static_cast<uint64_t>(trained) * (20 + width + 24);
}

// Of a layer's row: the residual stream in fp32 before each block, its queries, keys, values and context, gate
// and up. Cross-attention's keys and values are of the encoder's rows.
uint64_t activation_bytes(const BaseModel& base, const BySide<int64_t>& rows, int64_t targets) {
  const ModelSpec& spec = base.spec();
  const auto width = static_cast<int64_t>(c10::elementSize(base.dtype()));
  const int64_t heads = spec.heads * spec.head_dim, kv = spec.kv_heads * spec.head_dim;
  const int64_t layer = 8 * spec.hidden + width * (2 * (heads + kv) + 2 * spec.intermediate);
  int64_t bytes = rows.decoder * spec.layers * layer + rows.encoder * spec.encoder_layers * layer;
  if (spec.encoder_decoder())
    bytes += rows.decoder * spec.layers * (4 * spec.hidden + 2 * width * heads) +
             rows.encoder * spec.layers * 2 * width * heads;
  return static_cast<uint64_t>(bytes + std::min<int64_t>(targets * spec.vocab, int64_t{1} << 24) * (8 + width));
}

}  // namespace gaggle
