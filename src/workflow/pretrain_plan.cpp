// What a pretraining run says before it starts and after it has ended.
#include <bit>
#include <nlohmann/json.hpp>

#include "alignment/routing_record.h"
#include "alignment/routing_table.h"
#include "base/file.h"
#include "base/table.h"
#include "config/read.h"
#include "library/inventory.h"
#include "library/provenance.h"
#include "registry/version_files.h"
#include "workflow/pretrain.h"

namespace gaggle {
namespace {

constexpr double least_lane_tokens = 300;  // below it a lane's products no longer fill the hardware

std::string skills_text(const PretrainJob& job) {
  const PolySpec& spec = job.recipe.spec;
  const TrainedCounts trained = trained_counts(spec);
  const std::string form = spec.skill == SkillKind::rescaling ? "(IA)³" : fmt::format("rank {}", spec.sites[0].rank);
  std::string text =
      fmt::format("{}, {}, {}, {} at {}, {} trained", job.config().poly.method, plural(spec.skills, "skill"),
                  plural(spec.heads, "head"), form, plural(static_cast<int64_t>(spec.sites.size()), "site"),
                  count_text(static_cast<double>(trained.skills)));
  if (trained.routing > 0)
    text += fmt::format(" and {} of routing table ({} granularity)", count_text(static_cast<double>(trained.routing)),
                        name_of(spec.granularity));
  if (!job.config().poly.init_from.empty()) text += ", from " + job.config().poly.init_from;
  return text;
}

std::string training_text(const PretrainJob& job) {
  const PhaseSettings& phase = job.recipe.phase;
  const StepSettings& step = phase.step;
  std::string text =
      fmt::format("{} of {}, {}, {}", plural(phase.schedule.steps, "step"), plural(phase.batch_size, "example"),
                  step.optimizer.kind == OptimizerKind::adafactor ? "Adafactor" : "AdamW", lr_text(phase.schedule)) +
      dropout_text(step);
  if (job.recipe.spec.routing == Routing::learned) text += fmt::format(", routing {:g}", job.config().poly.router_lr);
  const RoutingSchedule& routing = job.recipe.schedule;
  if (routing.sampling != Sampling::none) text += ", routing sampled per " + job.config().poly.sample;
  if (routing.average_from >= 0) text += fmt::format(", uniform routing from step {}", routing.average_from);
  if (routing.interpolate_to > routing.interpolate_from)
    text += fmt::format(", routing becomes uniform in the last {} steps",
                        routing.interpolate_to - routing.interpolate_from);
  return text;
}

double tokens_per_step(const PretrainJob& job) {
  double fed = 0, examples = 0;
  for (const TokenTask& task : job.tasks)
    for (const TokenExample& example : task.examples(Split::train))
      fed += static_cast<double>(fed_tokens(example)), ++examples;
  return fed / examples * static_cast<double>(job.recipe.phase.batch_size);
}

std::string lanes_text(const PretrainJob& job) {
  const int64_t lanes = job.recipe.phase.step.lanes, ranks = job.context.session.world->size();
  const double all = tokens_per_step(job), tokens = all / static_cast<double>(lanes);
  std::string text =
      fmt::format("{} over {}, about {:.0f} tokens each", plural(lanes, "lane"), plural(ranks, "rank"), tokens);
  if (lanes % ranks != 0) {
    const double busiest = static_cast<double>((lanes + ranks - 1) / ranks * ranks);
    text += fmt::format(", ranks idle {:.0f}% of a step ({} is no multiple of {})",
                        100 * (1 - static_cast<double>(lanes) / busiest), lanes, ranks);
  }
  if (tokens < least_lane_tokens && lanes > ranks) {
    int64_t better = lanes;
    while (better > ranks && better % 2 == 0 && all / static_cast<double>(better) < least_lane_tokens) better /= 2;
    if (better < lanes)
      text += fmt::format("  (warning: too few to fill the hardware: train.lanes = {} would be faster)", better);
  }
  return text;
}

std::string number(const nlohmann::json& losses, const std::string& task) {
  return losses.contains(task) ? fmt::format("{:.3f}", losses[task].get<double>()) : "-";
}

}  // namespace

TrainedCounts trained_counts(const PolySpec& spec) {
  TrainedCounts counts;
  const ParameterLayout trained = trained_layout(spec);
  for (const ParameterInfo& tensor : trained.tensors())
    (is_router(tensor) ? counts.routing : counts.skills) += tensor.count;
  return counts;
}

uint64_t bytes_by_task(const PretrainJob& job) {
  const StepSettings& step = job.recipe.phase.step;
  if (step.combine.how == Combine::sum) return 0;
  const bool per_example = job.recipe.schedule.sampling == Sampling::example;
  const auto values =
      static_cast<uint64_t>(layout_by_task(job.recipe.spec, step.combine.most_tasks, per_example).size());
  const auto ranks = static_cast<uint64_t>(job.context.session.world->size());
  const uint64_t lanes = (static_cast<uint64_t>(step.lanes) + ranks - 1) / ranks;  // of a rank
  // Lane sums that wait for each other, log2(lanes) + 1; what is sent and received; the Gram's fp64 copy is small.
  return sizeof(float) * values * (static_cast<uint64_t>(std::bit_width(lanes)) + (ranks > 1 ? 2 : 0));
}

void check_memory_by_task(const PretrainJob& job, const JobMemory& need) {
  const JobMemory least = with_recompute(need, job.config().train.recompute, /*available=*/0);
  refuse_too_much_apart(job.recipe.phase.step.combine, bytes_by_task(job), least.all(),
                        job.context.session.free_memory);
}

double steps_flops(const PretrainJob& job) {
  double pass = 0, examples = 0;
  for (const TokenTask& task : job.tasks) {
    pass += training_flops(job.context.base, task.examples(Split::train));
    examples += static_cast<double>(task.examples(Split::train).size());
  }
  return examples_seen(job.recipe.phase) / examples * pass;
}

ItemWork pretrain_work(const PretrainJob& job) {
  const PhaseSettings& phase = job.recipe.phase;
  const PolySpec& spec = job.recipe.spec;
  double validation = 0;
  for (const TokenTask& task : job.tasks)
    validation += 0.5 * training_flops(job.context.base, task.examples(Split::validation));
  const int64_t every = job.config().alignment.every;
  const std::string kind = fmt::format(
      "skills: {} of {} in {} heads, {} values{}{}, {} lanes on {} ranks, {}", job.config().poly.method, spec.skills,
      spec.heads, poly_layout(spec).size(),
      phase.step.combine.how == Combine::sum ? "" : fmt::format(", joined by {}", name_of(phase.step.combine.how)),
      every > 0 ? fmt::format(", compared every {} steps", every) : "", phase.step.lanes,
      job.context.session.world->size(),
      passes_text(phase, tokens_per_step(job) / static_cast<double>(phase.batch_size)));
  // The base and the skills are validated in the end, too.
  return {kind, steps_flops(job) + (2 + validations(phase)) * validation};
}

JobPlan pretrain_plan(const PretrainJob& job) {
  std::vector<const TokenTask*> tasks;
  for (const TokenTask& task : job.tasks) tasks.push_back(&task);
  JobPlan plan;
  plan.lines = {{"skills", skills_text(job)},
                {"train", training_text(job)},
                {"lanes", lanes_text(job)},
                {"data", data_text(tasks) + ", sampled by " + job.config().data.sampling}};
  if (const CombineSettings& combine = job.recipe.phase.step.combine; combine.how != Combine::sum)
    plan.lines.push_back({"combine", fmt::format("gradients of up to {} of a step apart, joined by {}",
                                                 plural(combine.most_tasks, "task"), name_of(combine.how))});
  if (job.config().alignment.every > 0)
    plan.lines.push_back({"align", fmt::format("gradients of tasks compared every {} steps, {} space",
                                               job.config().alignment.every, job.config().alignment.space)});
  plan.label = "registry";
  plan.place = fs::path(job.config().registry.path).lexically_normal().string();
  plan.verb = "train";
  if (!job.version.empty())
    plan.notes = {{"", fmt::format("inventories/{} {} is there already: nothing to train", job.name, job.version)}};
  const uint64_t apart = bytes_by_task(job);
  plan.memory =
      memory_need(job.context, training_bytes(job.context.base, trained_counts(job.recipe.spec).all()) + apart, tasks,
                  Split::train, job.recipe.phase.batch_size, BaseUse::training);
  if (apart > 0) plan.memory.adapter_text = "adapter with optimiser, checkpoint and gradients by task";
  const uint64_t stored = size_of(stored_dtype(job.config().registry.dtype));
  plan.disk = {static_cast<uint64_t>(poly_layout(job.recipe.spec).size()) * stored, 5, job.config().registry.path};
  return plan;
}

Page pretrain_closing_page(const PretrainJob& job, const Registry& registry) {
  const auto stored = registry.find_key(Kind::inventory, job.name, job.recipe.key);
  if (!stored) return fmt::format("\n{} is not finished\n", job.name);
  const nlohmann::json metrics = object_at(read_sidecar(*stored), "metrics");
  const auto base = metrics.value("base_loss_by_task", nlohmann::json::object());
  const auto after = metrics.value("validation_loss_by_task", nlohmann::json::object());
  Table table({"task", "examples", "base loss", "validation loss"});
  for (const TokenTask& task : job.tasks)
    table.add({task.name, with_commas(static_cast<int64_t>(task.examples(Split::train).size())),
               number(base, task.name), number(after, task.name)});
  table.add({"mean over tasks", "", number(metrics, "base_loss"), number(metrics, "validation_loss")});
  Page page = Page("\n") + std::move(table) + "(nats per target token on validation examples)\n";
  const PolySpec& spec = job.recipe.spec;
  if (has_routing_table(spec)) {
    const std::vector<RoutingStep> steps = read_routing(job.run_dir());
    if (!steps.empty()) page += Page("\n") + routing_over_training_table(steps);
    const Inventory inventory = load_inventory(registry, stored->pin(), job.context.base.sites());
    page += Page("\n") + routing_page(routing_sites(spec, inventory.values), inventory.tasks);
  }
  page += glossary_line();
  page +=
      fmt::format("\n{} {}: {}, {} · next: gaggle eval {} --eval.methods='[\"none\", {}]'\n", job.name, stored->version,
                  plural(static_cast<int64_t>(job.tasks.size()), "task"), stored->folder.lexically_normal().string(),
                  typed_again(job.config()), job.config().poly.method == "shared" ? "\"shared\"" : "\"poly\", \"mu\"");
  return page;
}

}  // namespace gaggle
