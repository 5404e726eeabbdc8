// What gaggle adapt says before it begins: from what, for which tasks, by which methods.
#include <algorithm>

#include "base/file.h"
#include "base/names.h"
#include "base/table.h"
#include "library/provenance.h"
#include "workflow/adapt.h"
#include "workflow/adapt_commit.h"

namespace gaggle {
namespace {

std::string inventory_text(const AdaptJob& job, const Inventory& from) {
  const PolySpec& spec = from.spec;
  const bool vectors = spec.skill == SkillKind::rescaling;
  return fmt::format(
      "{} of {}   {}: {} of {}, {}, on {}, pretrained on {}", from.pin(),
      fs::path(job.config().registry.path).lexically_normal().string(), from.method, plural(spec.skills, "skill"),
      vectors ? std::string("(IA)³") : fmt::format("rank {}", spec.sites[0].rank), plural(spec.heads, "head"),
      plural(spec.sites.size(), "site"), plural(static_cast<int64_t>(from.tasks.size()), "task"));
}

std::string tasks_text(const AdaptJob& job) {
  std::vector<std::string> names;
  size_t least = SIZE_MAX, most = 0, scored = 0;
  for (size_t t = 0; t < job.tasks.size(); ++t) {
    const size_t examples = job.tasks[t].examples(Split::train).size();
    names.push_back(job.tasks[t].name);
    least = std::min(least, examples);
    most = std::max(most, examples);
    scored += job.scored_examples(t);
  }
  return fmt::format("{}: {}; {} training examples each, {} of split {} scored",
                     plural(static_cast<int64_t>(names.size()), "task"), join(names, ", "),
                     least == most ? std::to_string(most) : fmt::format("{} to {}", least, most),
                     plural(scored, "example"), job.config().eval.split);
}

std::string adapt_shots_text(const AdaptJob& job) {
  std::vector<std::string> shots;
  for (const int64_t n : job.config().adapt.shots) shots.push_back(shots_text(n));
  return fmt::format("{} training examples; seeds {}; every method sees the same examples", join(shots, ", "),
                     fmt::join(job.seeds(), ", "));
}

// Of each rate that some method uses: "lr 0.001, of routing rows 0.1".
std::string rates_text(const AdaptJob& job) {
  std::optional<double> values, routing_rows;
  for (const AdaptItem& item : job.items) {
    if (!item.recipe) continue;
    const AdaptRecipe& recipe = *item.recipe;
    const double lr = recipe.phase.schedule.lr;
    if (recipe.info().trains != AdaptTrains::routing_row) values = lr;
    if (recipe.trains_routing_row()) routing_rows = lr * recipe.phase.step.optimizer.router_rate;
  }
  std::vector<std::string> words;
  if (values) words.push_back(fmt::format("lr {:g}", *values));
  if (routing_rows) words.push_back(fmt::format("lr of routing rows {:g}", *routing_rows));
  return join(words, ", ");
}

std::string training_text(const AdaptJob& job) {
  const PhaseSettings& phase = job.items.back().recipe->phase;  // the first item is the base alone
  return fmt::format("{} of {} in {}, {}, {}{}, loss {}; the last step is kept, no examples validate",
                     plural(phase.schedule.steps, "step"), plural(phase.batch_size, "example"),
                     plural(phase.step.lanes, "lane"), name_of(phase.step.optimizer.kind), rates_text(job),
                     phase.schedule.linear ? ", falling to 0" : "",
                     phase.step.tfew ? "lm + unlikelihood + ranking (tfew)" : "lm");
}

void add_warnings(std::vector<PlanLine>& lines, const AdaptJob& job) {
  const auto warn = [&](const std::string& words) { lines.push_back({"warning", words}); };
  for (const auto* inventory : {&job.from, &job.shared}) {
    if (!*inventory) continue;
    std::vector<std::string> known;
    for (const TokenTask& task : job.tasks)
      if ((*inventory)->task_number(task.name) >= 0) known.push_back(task.name);
    if (!known.empty())
      warn(fmt::format("{} {} among the tasks that {} was pretrained on: the scores are not those of a new task",
                       join(known, ", "), known.size() == 1 ? "is" : "are", (*inventory)->name));
  }
  if (job.config().cluster.ranks_per_expert > 1)
    warn("cluster.ranks_per_expert is not used here: every item is made by one rank");
  if (job.config().train.keep == "best")
    warn("train.keep = \"best\" is not used here: of a few shots none are kept back to validate on");
}

// Each with how many values it trains, and where the result is stored.
void add_methods(std::vector<PlanLine>& lines, const AdaptJob& job) {
  for (const AdaptMethod& method : job.methods) {
    const auto item =
        std::ranges::find_if(job.items, [&](const AdaptItem& i) { return i.recipe && i.recipe->method == method; });
    lines.push_back(
        {method == job.methods.front() ? "methods" : "",
         fmt::format("{:<8} {} trained: {}, stored in {}/", method_name(method), with_commas(item->recipe->trained()),
                     info_of(method).words, words_of(stored_kind(*item->recipe)).folder)});
  }
}

JobMemory memory_of(const AdaptJob& job) {
  int64_t trained = 0;
  for (const AdaptItem& item : job.items)
    if (item.recipe) trained = std::max(trained, item.recipe->trained());
  std::vector<const TokenTask*> tasks;
  for (const TokenTask& task : job.tasks) tasks.push_back(&task);
  return memory_need(job.context, training_bytes(job.context.base, trained), tasks, Split::train,
                     job.config().adapt.batch_size, BaseUse::training);
}

DiskNeed disk_of(const AdaptJob& job) {
  DiskNeed disk{0, 0, job.config().registry.path};
  const uint64_t width = size_of(stored_dtype(job.config().registry.dtype));
  for (const AdaptItem& item : job.items) {
    disk.files += item.recipe ? 6 : 1;  // a version's five, and the result
    if (item.recipe) disk.bytes += width * static_cast<uint64_t>(item.recipe->trained());
  }
  return disk;
}

}  // namespace

JobPlan adapt_plan(const AdaptJob& job) {
  JobPlan plan;
  if (job.from) plan.lines.push_back({"from", inventory_text(job, *job.from)});
  if (job.shared) plan.lines.push_back({"shared", inventory_text(job, *job.shared)});
  plan.lines.push_back({"tasks", tasks_text(job)});
  plan.lines.push_back({"shots", adapt_shots_text(job)});
  plan.lines.push_back({"train", training_text(job)});
  add_methods(plan.lines, job);
  add_warnings(plan.lines, job);
  plan.place = job.folder().string();
  plan.notes = {{"", fmt::format("{} of the base alone", job.tasks.size())}};
  plan.memory = memory_of(job);
  plan.disk = disk_of(job);
  return plan;
}

}  // namespace gaggle
