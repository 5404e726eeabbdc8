#include "workflow/assumed_cost.h"

#include <algorithm>
#include <array>

#include "adapter/gate.h"
#include "base/names.h"
#include "base/table.h"
#include "job/plan.h"
#include "model/hardware.h"
#include "model/speed.h"
#include "workflow/pretrain.h"

namespace gaggle {
namespace {

// Dense bf16 products, as the makers state them.
struct Gpu {
  const char* name;
  const char* label;
  double flops;   // per second
  double memory;  // bytes
};
constexpr double gib = 1024.0 * 1024 * 1024;
constexpr std::array<Gpu, 6> gpus = {{{"a100-40", "A100 (40 GB)", 312e12, 40 * gib},
                                      {"a100", "A100 (80 GB)", 312e12, 80 * gib},
                                      {"h100", "H100", 989e12, 80 * gib},
                                      {"h200", "H200", 989e12, 141 * gib},
                                      {"b200", "B200", 2250e12, 180 * gib},
                                      {"l40s", "L40S", 362e12, 48 * gib}}};

// How the base is held: model.storage, and the GPUs that share it.
struct Holding {
  std::string storage;
  int ranks = 1;
};

Holding holding_of(const Config& config) {
  constexpr int64_t of_a_node = 8;
  const int64_t gpus = config.model.shard == "none"   ? 1
                       : config.model.shard == "node" ? std::min(of_a_node, config.plan.gpus)
                                                      : config.plan.gpus;
  return {config.model.storage, static_cast<int>(gpus)};
}

// Nothing is read.
std::unique_ptr<BaseModel> planned_base(const Config& config, const Holding& holding) {
  const at::Device device = at::kCUDA;
  return load_base_model(*open_model(config.model.path, config.model.revision),
                         resolve_dtype(config.model.dtype, device), device, BaseUse::planning,
                         storage_named(holding.storage), {0, holding.ranks, nullptr});
}

// A base without weights, and an example of the assumed length.
struct Shapes {
  std::unique_ptr<BaseModel> base;
  TokenExample example;
  double example_flops = 0;  // useful, forward and backward
};

Shapes shapes_of(const Config& config) {
  const PlanConfig& plan = config.plan;
  Shapes shapes;
  shapes.base = planned_base(config, holding_of(config));
  const auto input = static_cast<size_t>(plan.input_tokens > 0 ? plan.input_tokens : config.data.max_input_tokens);
  const bool encoder = shapes.base->spec().encoder_decoder();
  (encoder ? shapes.example.source : shapes.example.input).resize(input);
  if (encoder) shapes.example.input.resize(1);
  shapes.example.target.resize(
      static_cast<size_t>(plan.target_tokens > 0 ? plan.target_tokens : config.data.max_target_tokens));
  const Sample sample{0, 0, &shapes.example, 0};
  shapes.example_flops = useful_flops(*shapes.base, make_microbatches({&sample, 1}, 1, {1.0f}).at(0));
  return shapes;
}

const Gpu& gpu_of(const Config& config) {
  return *std::ranges::find_if(gpus, [&](const Gpu& gpu) { return config.plan.gpu == gpu.name; });
}

PlanLine data_line(const Config& config, const Shapes& shapes) {
  const size_t input = shapes.example.source.empty() ? shapes.example.input.size() : shapes.example.source.size();
  return {"data", fmt::format("{} of {}, {} + {} tokens each (plan.tasks, examples, input_tokens, target_tokens)",
                              plural(config.plan.tasks, "task"), plural(config.plan.examples, "example"), input,
                              shapes.example.target.size())};
}

PlanLine train_line(const PhaseSettings& phase, const char* label, const std::string& more) {
  return {label,
          fmt::format("{}; {} of {}", more, plural(phase.schedule.steps, "step"), plural(phase.batch_size, "example"))};
}

JobMemory memory_of(const Config& config, const BaseModel& base, const TokenExample& example, int64_t trained) {
  const auto fed = static_cast<double>(fed_tokens(example));
  const auto budget = static_cast<double>(std::max(config.train.tokens_per_microbatch, fed_tokens(example)));
  MicrobatchSize size;
  size.longest.encoder = static_cast<int64_t>(example.source.size());
  size.longest.decoder = fed_tokens(example) - size.longest.encoder;
  for (const Side side : sides)
    size.tokens[side] = static_cast<int64_t>(budget * static_cast<double>(size.longest[side]) / fed);
  size.targets = static_cast<int64_t>(budget / fed * static_cast<double>(example.target.size()));
  const JobMemory need{0, static_cast<uint64_t>(base.weight_bytes()), training_bytes(base, trained),
                       activation_bytes(base, size, Kept::everything), activation_bytes(base, size, Kept::inputs)};
  return with_recompute(need, config.train.recompute, static_cast<int64_t>(gpu_of(config).memory));
}

// What would fit where the config's own way does not: "it fits with model.storage = "int8" (40.1 GB), …".
std::string what_fits(const Config& config, const TokenExample& example, int64_t trained) {
  Config again = config;
  again.train.recompute = "auto";
  std::vector<std::string> ways;
  const auto look = [&](const Holding& holding, const std::string& set) {
    const JobMemory need = memory_of(again, *planned_base(config, holding), example, trained);
    if (static_cast<double>(need.all()) > gpu_of(config).memory) return;
    ways.push_back(fmt::format("{}{} ({})", set,
                               need.again && config.train.recompute == "none" ? " and train.recompute" : "",
                               bytes_text(need.all())));
  };
  const Holding now = holding_of(config);
  if (config.train.recompute == "none") look(now, "train.recompute = \"layer\"");
  for (const char* storage : {"int8", "nf4"})
    if (now.storage == "dtype") look({storage, now.ranks}, fmt::format("model.storage = \"{}\"", storage));
  if (config.plan.gpus > 1 && now.ranks == 1)
    look({now.storage, static_cast<int>(config.plan.gpus)}, "model.shard = \"world\"");
  return ways.empty() ? "nothing that model.storage, model.shard and train.recompute can do fits on so many GPUs"
                      : "it fits with " + join(ways, ", or ");
}

// `lines`: what trains. `examples` are seen in all, by jobs that spread over the GPUs.
std::string cost_block(const Config& config, const Shapes& shapes, std::vector<PlanLine> lines, int64_t trained,
                       double examples, int64_t batch, const std::string& what) {
  const Gpu& gpu = gpu_of(config);
  const JobMemory need = memory_of(config, *shapes.base, shapes.example, trained);
  const double flops = examples * shapes.example_flops, again = need.again ? 4.0 / 3 : 1;  // a forward pass more
  const double hours = again * flops / (gpu.flops * config.plan.share) / 3600;
  const bool fits = static_cast<double>(need.all()) <= gpu.memory;
  lines.insert(lines.begin(), data_line(config, shapes));
  lines.push_back(
      {"flop", fmt::format("{}FLOP an example, {}FLOP a step, {}FLOP {}", count_text(shapes.example_flops),
                           count_text(static_cast<double>(batch) * shapes.example_flops), count_text(flops), what)});
  lines.push_back({"memory", fmt::format("{} of a GPU's {}: {}{}", bytes_text(need.all()),
                                         bytes_text(static_cast<uint64_t>(gpu.memory)), need_text(need),
                                         fits ? "" : "  (warning: it does not fit)")});
  if (!fits) lines.push_back({"", what_fits(config, shapes.example, trained)});
  lines.push_back({"time", fmt::format("about {:.1f} h on {} {} at {:.0f}% of {}FLOP/s each: {:.1f} GPU hours",
                                       hours / static_cast<double>(config.plan.gpus), config.plan.gpus, gpu.label,
                                       100 * config.plan.share, count_text(gpu.flops), hours)});
  return plan_block(program_text() + " · from config.json alone: no weights and no examples are there", *shapes.base,
                    lines) +
         "\nnothing was started\n";
}

}  // namespace

bool asks_for_cost_alone(const Config& config, const JobOptions& options) {
  return options.dry_run && !config.model.path.empty() &&
         !open_model(config.model.path, config.model.revision)->has_weights();
}

std::string experts_cost_block(const Config& config) {
  const Shapes shapes = shapes_of(config);
  TokenTask task;
  task.name = "any";
  // Only counted: the texts of millions would fill the memory.
  task.splits[static_cast<size_t>(Split::train)].resize(static_cast<size_t>(config.plan.examples));
  task.splits[static_cast<size_t>(Split::validation)].push_back(shapes.example);
  const Recipe recipe = expert_recipe({config.run.seed, shapes.base->sites(), "", shapes.base->dtype()},
                                      {config.lora, config.train, config.gate, config.cluster.ranks_per_expert}, task);
  const int64_t lora = lora_layout(recipe.sites).size(), gate = gate_layout(recipe.sites).size();
  std::vector<PlanLine> lines = {
      train_line(recipe.lora, "lora",
                 fmt::format("rank {}, scale {:g}, {} values per expert", recipe.sites[0].rank, recipe.sites[0].scale,
                             with_commas(lora)))};
  double examples = examples_seen(recipe.lora);
  if (recipe.gate.schedule.steps > 0) {
    lines.push_back(train_line(recipe.gate, "gate", fmt::format("{} values per expert", with_commas(gate))));
    examples += examples_seen(recipe.gate);
  }
  const auto tasks = static_cast<double>(config.plan.tasks);
  const int64_t together = std::clamp<int64_t>(config.train.pack.count, 1, config.plan.tasks);
  return cost_block(config, shapes, lines, together * lora, tasks * examples, recipe.lora.batch_size,
                    fmt::format("for {}", plural(config.plan.tasks, "expert")));
}

std::string pretrain_cost_block(const Config& config) {
  const Shapes shapes = shapes_of(config);
  const PolySpec spec = poly_spec(config.poly, config.lora.targets, shapes.base->sites(), config.plan.tasks);
  const PhaseSettings phase = training_phase(config.train, config.run.seed, config.train.lr.value_or(0),
                                             config.plan.tasks * config.plan.examples);
  const TrainedCounts trained = trained_counts(spec);
  const PlanLine line = train_line(
      phase, "skills",
      fmt::format("{}, {}, {}, {} skill values and {} routing values", config.poly.method, plural(spec.skills, "skill"),
                  plural(spec.heads, "head"), with_commas(trained.skills), with_commas(trained.routing)));
  return cost_block(config, shapes, {line}, trained.all(), examples_seen(phase), phase.batch_size, "in all");
}

}  // namespace gaggle
