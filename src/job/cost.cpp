#include "job/cost.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <set>
#include <string>

#include "base/error.h"
#include "kernel/attention.h"
#include "model/loss.h"
#include "model/speed.h"
#include "train/batch.h"

// jemalloc's, where the program is linked with it.
extern "C" int mallctl(const char* name, void* old, size_t* old_size, void* value, size_t size) __attribute__((weak));

namespace gaggle {
namespace {

// A pass that feeds one new token of each row reads all weights for them: it costs as if so many rows more were fed.
constexpr double rows_of_empty_pass = 90;

// Memory that was freed and stays with the process, for what comes next: jemalloc gives nothing back (app/main.cpp).
uint64_t free_pages() {
  if (!mallctl) return 0;
  uint64_t epoch = 1;
  size_t dirty = 0, page = 0, size = sizeof(epoch), of_number = sizeof(size_t);
  constexpr const char* all_arenas = "stats.arenas.4096.pdirty";  // MALLCTL_ARENAS_ALL
  if (mallctl("epoch", &epoch, &size, &epoch, size) != 0 || mallctl(all_arenas, &dirty, &of_number, nullptr, 0) != 0 ||
      mallctl("arenas.page", &page, &of_number, nullptr, 0) != 0)
    return 0;
  return dirty * page;
}

uint64_t resident_bytes() {
  uint64_t all = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> all >> resident;
  return resident * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

// The most that this process has held (proc(5), VmHWM).
uint64_t peak_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) return std::stoull(line.substr(6)) * 1024;
  return 0;
}

double head_weights(const BaseModel& base) { return static_cast<double>(base.spec().vocab * base.spec().hidden); }

double example_flops(const BaseModel& base, const TokenExample& example) {
  const auto source = static_cast<int64_t>(example.source.size()), read = fed_tokens(example) - source;
  const auto encoder = static_cast<double>(source), decoder = static_cast<double>(read);
  return 4 * (static_cast<double>(base.linear_weights(Side::encoder)) * encoder +
              static_cast<double>(base.linear_weights(Side::decoder)) * decoder +
              head_weights(base) * static_cast<double>(example.target.size())) +
         decoder_attention_flops(base.spec(), read, source) + encoder_attention_flops(base.spec(), source);
}

// What attention of either side holds while it runs: one layer at a time.
int64_t attention_bytes_of(const BaseModel& base, const MicrobatchSize& size, bool backward) {
  const ModelSpec& spec = base.spec();
  const HeadShape heads{spec.heads, spec.kv_heads, spec.head_dim, 1, /*bare=*/!spec.encoder_decoder()};
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
                     const EvalConfig& eval, int64_t token_budget) {
  const auto encoder = static_cast<double>(base.linear_weights(Side::encoder));
  const auto decoder = static_cast<double>(base.linear_weights(Side::decoder)), head = head_weights(base);
  const bool generates = is_of_generated(task.metric);
  const bool without_question = task.metric == "accuracy" && eval.normalise == "prior";
  std::set<std::vector<int32_t>> choices;  // each is scored once without a question
  // Weights that are passed over; FLOP of attention; tokens of the batches of generation.
  double weights = 0, attention = 0, generated_from = 0;
  const auto continuation = [&](size_t tokens) {
    weights += decoder * static_cast<double>(tokens - 1) + head * static_cast<double>(tokens);
  };
  for (size_t i = first; i < last; ++i) {
    const TokenExample& example = task.examples(split)[i];
    const double prompt =
        encoder * static_cast<double>(example.source.size()) + decoder * static_cast<double>(example.input.size());
    const auto source = static_cast<int64_t>(example.source.size()), input = static_cast<int64_t>(example.input.size());
    const double of_prompt =
        (decoder_attention_flops(base.spec(), input, source) + encoder_attention_flops(base.spec(), source)) / 3;
    weights += generates ? 2 * prompt : prompt;
    attention += generates ? 2 * of_prompt : of_prompt;
    if (task.metric != "accuracy" || example.choices.empty()) continuation(example.target.size());
    if (task.metric == "accuracy")
      for (const auto& choice : example.choices) {
        continuation(choice.size());
        if (without_question && choices.insert(choice).second) continuation(choice.size());
      }
    generated_from += static_cast<double>(example.source.size() + example.input.size());
  }
  if (generates) {
    const auto rows = static_cast<double>(static_cast<int64_t>(last - first) * eval.beams);
    const auto passes = static_cast<double>(eval.max_new_tokens);
    // A batch has one prompt at least.
    const double batches = std::min(std::ceil((generated_from + rows * passes) / static_cast<double>(token_budget)),
                                    static_cast<double>(last - first));
    weights += (decoder + head) * passes * (rows + batches * rows_of_empty_pass);
  }
  return 2 * weights + attention;
}

double examples_seen(const PhaseSettings& phase) {
  return static_cast<double>(phase.schedule.steps * phase.batch_size);
}

double validations(const PhaseSettings& phase) {
  if (phase.validate_every == 0) return 0;
  const int64_t left = phase.schedule.steps % phase.validate_every;
  return static_cast<double>(phase.schedule.steps / phase.validate_every + (phase.keep_best && left > 0 ? 1 : 0));
}

double mean_fed_tokens(const std::vector<TokenExample>& examples) {
  double tokens = 0;
  for (const TokenExample& example : examples) tokens += static_cast<double>(fed_tokens(example));
  return tokens / static_cast<double>(std::max<size_t>(1, examples.size()));
}

std::string passes_text(double tokens) {
  return fmt::format("passes of about {:.0f} tokens", std::exp2(std::round(2 * std::log2(std::max(1.0, tokens))) / 2));
}

std::string passes_text(const PhaseSettings& phase, double tokens_an_example) {
  const double of_lane =
      tokens_an_example * static_cast<double>(phase.batch_size) / static_cast<double>(phase.step.lanes);
  return passes_text(std::min(of_lane, static_cast<double>(phase.step.tokens_per_microbatch)));
}

JobMemory with_recompute(JobMemory need, const std::string& asked, int64_t available) {
  const bool fits = available < 0 || need.all() <= static_cast<uint64_t>(available);
  if (need.recomputed == 0 || asked == "none" || (asked == "auto" && fits)) return need;
  need.again = true;
  need.activations = need.recomputed;
  return need;
}

uint64_t training_bytes(const BaseModel& base, int64_t trained) {
  const auto width = static_cast<uint64_t>(c10::elementSize(base.dtype()));
  return static_cast<uint64_t>(trained) * (20 + width + 24);
}

// Of a layer's token: the residual stream in fp32 before each block, its queries, keys, values and context with the log
// of each head's sum, gate and up. Cross-attention's keys and values are of the encoder's tokens.
uint64_t activation_bytes(const BaseModel& base, const MicrobatchSize& size, Kept kept) {
  const ModelSpec& spec = base.spec();
  const BySide<int64_t>& tokens = size.tokens;
  const auto width = static_cast<int64_t>(c10::elementSize(base.dtype()));
  const int64_t heads = spec.heads * spec.head_dim, kv = spec.kv_heads * spec.head_dim;
  const int64_t layer = 8 * spec.hidden + width * (2 * (heads + kv) + 2 * spec.intermediate) + 4 * spec.heads;
  const bool all = kept == Kept::everything, trains = kept != Kept::nothing;
  const int64_t layers = all ? spec.layers : 1, encoder_layers = all ? spec.encoder_layers : 1;
  int64_t bytes = tokens.decoder * layers * layer + tokens.encoder * encoder_layers * layer;
  if (kept == Kept::inputs)
    bytes += 4 * spec.hidden * (tokens.decoder * spec.layers + tokens.encoder * spec.encoder_layers);
  if (spec.encoder_decoder())
    bytes += tokens.decoder * layers * (4 * spec.hidden + 2 * width * heads) +
             tokens.encoder * (trains ? spec.layers : 1) * 2 * width * heads;
  bytes += attention_bytes_of(base, size, trains);
  // Of a chunk of logits, which on a GPU their gradient takes the place of.
  const int64_t logits = std::min<int64_t>(size.targets * spec.vocab, head_chunk_values(base.device()));
  return static_cast<uint64_t>(bytes + logits * (base.device().is_cpu() ? 8 + width : width));
}

JobMemory memory_need(const JobContext& context, uint64_t adapter, const std::vector<const TokenTask*>& tasks,
                      Split split, int64_t batch, BaseUse use) {
  JobMemory need;
  need.base = static_cast<uint64_t>(context.base.weight_bytes());
  const uint64_t now = resident_bytes(), at_rest = static_cast<uint64_t>(context.base.bytes_at_rest());
  need.program = context.base.device().is_cpu() && now > at_rest ? now - at_rest : now;
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
  const bool trains = use != BaseUse::inference;
  need.activations = activation_bytes(context.base, size, trains ? Kept::everything : Kept::nothing);
  if (trains) need.recomputed = activation_bytes(context.base, size, Kept::inputs);
  if (!context.base.device().is_cpu()) return need;
  need.loading = peak_bytes();
  // What loading has left is used again first.
  need.program -= std::min(
      {need.program, free_pages(), need.base - at_rest + need.adapter + (trains ? need.recomputed : need.activations)});
  return need;
}

}  // namespace gaggle
