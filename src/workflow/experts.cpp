#include "workflow/experts.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "alignment/expert_sketch.h"
#include "base/file.h"
#include "base/names.h"
#include "config/read.h"
#include "job/plan.h"
#include "registry/pins.h"
#include "registry/version_files.h"
#include "workflow/packs.h"

namespace gaggle {
namespace {

// What the collection pins beside this job's experts. Throws UserError where it cannot be read or pins what is gone.
std::vector<std::string> kept_beside(const ExpertJob& job, const Registry& registry) {
  std::vector<std::string> ours, kept;
  for (const ExpertItem& item : job.items) ours.push_back(item.name);
  const std::string& name = job.config().registry.collection;
  if (name.empty()) return {};
  for (const std::string& pin : grown(registry, name, ours))
    if (std::ranges::find(ours, pin) == ours.end()) kept.push_back(pin);
  return kept;
}

// Which items are there already, and why the others are not: fills version and why. A registry that is not
// there yet is left so.
void look_up(ExpertJob& job) {
  const std::optional<Registry> registry = existing_registry(job.context);
  if (!registry) return;
  job.kept = kept_beside(job, *registry);
  for (ExpertItem& item : job.items) {
    item.version = stored_version(registry, Kind::expert, item.name, item.recipe.key).value_or("");
    if (!item.version.empty() || !item.parent.empty()) continue;
    const auto current = registry->find(Kind::expert, item.name);
    if (!current) continue;
    const nlohmann::json about = read_sidecar(*current);
    item.why = fmt::format("v{:04}, {}", std::stoi(current->version.substr(1)) + 1,
                           about.contains("recipe") ? difference_text(about.at("recipe"), item.recipe.json)
                                                    : "the one there was imported");
  }
}

// Experts of other tasks with examples of like lengths go at one speed.
std::string kind_of(const ExpertJob& job, const ExpertPack& pack) {
  const ExpertItem& item = job.items[pack.members[0]];
  const Recipe& recipe = item.recipe;
  const size_t together = pack.members.size();
  double tokens = 0;  // of an example of each
  for (const size_t member : pack.members) tokens += mean_fed_tokens(job.items[member].task->examples(Split::train));
  const PhaseSettings& phase = recipe.train_lora ? recipe.lora : recipe.gate;
  return fmt::format("expert: {}{} of {} values{}, {} lanes on {} ranks, {}", recipe.train_lora ? "lora" : "",
                     recipe.gate.schedule.steps == 0 ? ""
                     : recipe.train_lora             ? " and gate"
                                                     : "gate",
                     lora_layout(recipe.sites).size(), together > 1 ? fmt::format(", {} together", together) : "",
                     phase.step.lanes, job.config().cluster.ranks_per_expert, passes_text(phase, tokens));
}

using PinsByKey = std::map<std::string, std::string>;

// The item's version, or what was made from it (gates), whatever another job on this registry made of the same name
// meanwhile: CURRENT from now on.
void serve(const ExpertItem& item, Registry& registry, PinsByKey& pins) {
  const std::string& key = item.recipe.key;
  pins.erase(key);
  if (const auto version = registry.find_key(Kind::expert, item.name, key))
    pins[key] = item.name + "@" + registry.make_current(Kind::expert, item.name, version->version);
}

const ExpertPack& pack_of(const ExpertJob& job, const WorkItem& item) {
  return *std::ranges::find(job.packs, item.key, &ExpertPack::key);
}

// "v0001", of a pack "v0001, v0003": where all of it are there.
std::optional<std::string> versions_of(const ExpertJob& job, const ExpertPack& pack,
                                       const std::optional<Registry>& registry) {
  std::vector<std::string> versions;
  for (const size_t member : pack.members) {
    const ExpertItem& item = job.items[member];
    const auto version = item.version.empty() ? stored_version(registry, Kind::expert, item.name, item.recipe.key)
                                              : std::optional(item.version);
    if (!version) return std::nullopt;
    versions.push_back(*version);
  }
  return join(versions, ", ");
}

// Who sees the last item committed merges. The collection keeps what it pins beside.
void collect(const ExpertJob& job, Registry& registry, const PinsByKey& served) {
  std::vector<std::string> pins;
  for (const ExpertItem& item : job.items) {
    const auto pin = served.find(item.recipe.key);
    if (pin == served.end())
      system_error("{}: its version was removed before it was collected; start again", item.name);
    pins.push_back(pin->second);
  }
  const std::string& name = job.config().registry.collection;
  if (!name.empty() && !pins.empty()) grow(registry, name, pins);
}

// How alike the tasks are by their gradients at the common start.
Page similarity_of_tasks(const ExpertJob& job, const fs::path& registry) {
  std::vector<SketchedTask> tasks;
  for (const ExpertItem& item : job.items) tasks.push_back({item.name, item.recipe});
  return compare_sketches(start_sketches(job.context.base, registry, job.config().alignment, job.config().run.seed),
                          tasks, job.context.session.run_dir / "alignment" / "experts.safetensors");
}

Page closing_page(const ExpertJob& job, const Registry& registry, const JobEnd& end) {
  const bool all_done = end.plan.count(ItemState::done) == job.items.size();
  const bool collected = all_done && !job.items.empty() && !job.config().registry.collection.empty();
  const std::string where = collected  ? collection_block(job, registry)
                            : all_done ? fmt::format("experts in {} · next: gaggle eval {}\n",
                                                     job.config().registry.path, typed_again(job.config()))
                                       : "";
  return Page("\n") + expert_table(job, registry, end) + similarity_of_tasks(job, registry.folder()) + glossary_line() +
         where;
}

}  // namespace

double expert_flops(const ExpertItem& item, const BaseModel& base) {
  const Recipe& recipe = item.recipe;
  const bool gated = recipe.gate.schedule.steps > 0;
  const double epochs =
      (recipe.train_lora ? epochs_of(recipe.lora, *item.task) : 0) + (gated ? epochs_of(recipe.gate, *item.task) : 0);
  // Validation is half the work of a training pass: the base, the LoRA, the gates before and after; and in training.
  const double passes = 0.5 * ((gated ? 4 : 2) + (recipe.train_lora ? validations(recipe.lora) : 0));
  return epochs * training_flops(base, item.task->examples(Split::train)) +
         passes * training_flops(base, item.task->examples(Split::validation));
}

void check_expert_job(const Config& config, const Session& session) {
  check_writable(config.registry.path, "registry.path");
  if (session.world->size() % config.cluster.ranks_per_expert != 0)
    user_error("cluster.ranks_per_expert = {} does not divide the {} ranks that were started",
               config.cluster.ranks_per_expert, session.world->size());
}

Job expert_items(const ExpertJob& experts) {
  const Config& config = experts.config();
  const bool packs = experts.packs.size() < experts.items.size();
  Job job{.kind = "experts", .thing = packs ? "pack" : "expert", .folder = config.registry.path};
  job.ranks_per_item = static_cast<int>(config.cluster.ranks_per_expert);
  for (const ExpertPack& pack : experts.packs) {
    WorkItem& item = job.items.emplace_back(WorkItem{pack.key, pack.name});
    job.work.push_back({kind_of(experts, pack), 0});
    for (const size_t member : pack.members) {
      const ExpertItem& expert = experts.items[member];
      job.work.back().flops += expert_flops(expert, experts.context.base);
      if (pack.members.size() > 1) item.parts.push_back({expert.recipe.key, expert.name});
    }
  }
  job.try_out = [&](size_t item, double flops) { return expert_rate(experts, experts.packs[item], flops); };
  return job;
}

Exit run_experts(ExpertJob experts) {
  experts.packs = form_packs(experts.items, experts.config().train);
  look_up(experts);
  const JobContext& context = experts.context;
  std::optional<Registry> registry;
  if (!context.options.dry_run) {
    registry = open_registry(context, /*create=*/true);
    make_run_folder(context.session, experts.config());
  }
  Job job = expert_items(experts);
  job.result = [&](const WorkItem& item) { return versions_of(experts, pack_of(experts, item), registry); };
  job.run = [&](size_t item, Attempt& attempt) {
    return train_experts(experts, experts.packs[item], *registry, attempt);
  };
  PinsByKey pins;
  job.serve = [&](const WorkItem& item, const std::string&) {
    for (const size_t member : pack_of(experts, item).members) serve(experts.items[member], *registry, pins);
  };
  job.merge = [&] { collect(experts, *registry, pins); };
  job.closing_page = [&](const JobEnd& end) { return closing_page(experts, *registry, end); };
  return plan_and_run(context, job, expert_plan(experts));
}

}  // namespace gaggle
