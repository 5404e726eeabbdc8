#include "job/cost.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "kernel/attention.h"
#include "model/speed.h"
#include "train/batch.h"

namespace gaggle {
namespace {

uint64_t resident_bytes() {
  uint64_t all = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> all >> resident;
  return resident * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

double example_flops(const BaseModel& base, const TokenExample& example) {
  const auto source = static_cast<int64_t>(example.source.size()), read = fed_tokens(example) - source;
  const auto encoder = static_cast<double>(source), decoder = static_cast<double>(read);
  const auto head = static_cast<double>(base.spec().vocab * base.spec().hidden);
  return 4 * (static_cast<double>(base.linear_weights(Side::encoder)) * encoder +
              static_cast<double>(base.linear_weights(Side::decoder)) * decoder +
              head * static_cast<double>(example.target.size())) +
         decoder_attention_flops(base.spec(), read, source) + encoder_attention_flops(base.spec(), source);
}

// What attention of either side holds while it runs: one layer at a time.
int64_t attention_bytes_of(const BaseModel& base, const MicrobatchSize& size, bool backward) {
  const ModelSpec& spec = base.spec();
  const HeadShape heads{spec.heads, spec.kv_heads, spec.head_dim, 1};
  const auto like = at::TensorOptions().dtype(base.dtype()).device(base.device());
  int64_t most = 0;
  for (const Side side : sides)
    most = std::max(most, attention_bytes(heads, size.tokens[side], size.longest[side], like, backward));
  return most;
}

}  // namespace

double training_flops(const BaseModel& base, const std::vector<TokenExample>& examples) {
  double flops = 0;
  for (const TokenExample& example : examples) flops += example_flops(base, example);
  return flops;
}

double scoring_flops(const BaseModel& base, const TokenTask& task, Split split, size_t first, size_t last,
                     const EvalConfig& eval) {
  const auto weights = static_cast<double>(base.linear_weights());
  double flops = 0;
  for (size_t i = first; i < last; ++i) {
    const TokenExample& example = task.examples(split)[i];
    flops += 0.5 * example_flops(base, example);  // forward alone
    if (task.metric == "accuracy")
      for (const auto& choice : example.choices) flops += 2 * weights * static_cast<double>(choice.size());
  }
  // A pass over one new token costs far more than a token of a prompt: the weights are read for it alone.
  if (task.metric == "exact_match")
    flops +=
        static_cast<double>((9 + eval.beams) * eval.max_new_tokens) * static_cast<double>(last - first) * 2 * weights;
  return flops;
}

double examples_seen(const PhaseSettings& phase) {
  return static_cast<double>(phase.schedule.steps * phase.batch_size);
}

double expected_seconds(const JobContext& context, double flops) {
  return flops / (expected_share * std::max(1.0, context.gemm_flops));
}

uint64_t training_bytes(const BaseModel& base, int64_t trained) {
  const auto width = static_cast<uint64_t>(c10::elementSize(base.dtype()));
  return static_cast<uint64_t>(trained) * (20 + width + 24);
}

// Of a layer's token: the residual stream in fp32 before each block, its queries, keys, values and context with the log
// of each head's sum, gate and up. Cross-attention's keys and values are of the encoder's tokens.
uint64_t activation_bytes(const BaseModel& base, const MicrobatchSize& size, BaseUse use) {
  const ModelSpec& spec = base.spec();
  const BySide<int64_t>& tokens = size.tokens;
  const auto width = static_cast<int64_t>(c10::elementSize(base.dtype()));
  const int64_t heads = spec.heads * spec.head_dim, kv = spec.kv_heads * spec.head_dim;
  const int64_t layer = 8 * spec.hidden + width * (2 * (heads + kv) + 2 * spec.intermediate) + 4 * spec.heads;
  const bool kept = use != BaseUse::inference;
  const int64_t layers = kept ? spec.layers : 1, encoder_layers = kept ? spec.encoder_layers : 1;
  int64_t bytes = tokens.decoder * layers * layer + tokens.encoder * encoder_layers * layer;
  if (spec.encoder_decoder())
    bytes +=
        tokens.decoder * layers * (4 * spec.hidden + 2 * width * heads) + tokens.encoder * layers * 2 * width * heads;
  bytes += attention_bytes_of(base, size, kept);
  return static_cast<uint64_t>(bytes + std::min<int64_t>(size.targets * spec.vocab, int64_t{1} << 24) * (8 + width));
}

JobMemory memory_need(const JobContext& context, uint64_t adapter, const std::vector<const TokenTask*>& tasks,
                      Split split, int64_t batch, BaseUse use) {
  JobMemory need;
  need.base = static_cast<uint64_t>(context.base.weight_bytes());
  const uint64_t now = resident_bytes();
  need.program = context.base.device().is_cpu() && now > need.base ? now - need.base : now;
  need.adapter = adapter;
  if (use == BaseUse::inference) need.adapter_text = "experts";
  int64_t longest = 0;
  MicrobatchSize size;
  double source = 0, fed = 0;
  for (const TokenTask* task : tasks)
    for (const TokenExample& example : task->examples(split)) {
      longest = std::max(longest, fed_tokens(example));
      size.targets = std::max(size.targets, batch * static_cast<int64_t>(example.target.size()));
      const auto encoder = static_cast<int64_t>(example.source.size()), decoder = fed_tokens(example) - encoder;
      size.longest = {std::max(size.longest.decoder, decoder), std::max(size.longest.encoder, encoder)};
      source += static_cast<double>(encoder), fed += static_cast<double>(decoder + encoder);
    }
  const int64_t tokens = std::max(context.config.train.tokens_per_microbatch, longest);
  const auto encoder = static_cast<int64_t>(static_cast<double>(tokens) * source / std::max(1.0, fed));
  size.tokens = {tokens - encoder, encoder};
  need.activations = activation_bytes(context.base, size, use);
  return need;
}

}  // namespace gaggle
