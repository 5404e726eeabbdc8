// What a job of experts says before it begins.
#include <algorithm>

#include "adapter/gate.h"
#include "base/names.h"
#include "base/table.h"
#include "job/plan.h"
#include "library/provenance.h"
#include "workflow/experts.h"

namespace gaggle {
namespace {

constexpr double many_epochs = 20;  // beyond these a task is learned by heart

int64_t lora_values(const Recipe& recipe) { return lora_layout(recipe.sites).size(); }

int64_t gate_values(const Recipe& recipe) { return gate_layout(recipe.sites).size(); }

std::vector<const TokenTask*> tasks_of(const ExpertJob& job) {
  std::vector<const TokenTask*> tasks;
  for (const ExpertItem& item : job.items) tasks.push_back(item.task);
  return tasks;
}

JobMemory memory_of(const ExpertJob& job) {
  int64_t trained = 0;
  for (const ExpertPack& pack : job.packs) {
    int64_t together = 0;
    for (const size_t member : pack.members) {
      const Recipe& recipe = job.items[member].recipe;
      together += recipe.train_lora ? lora_values(recipe) : gate_values(recipe);
    }
    trained = std::max(trained, together);
  }
  return memory_need(job.context, training_bytes(job.context.base, trained), tasks_of(job), Split::train,
                     job.config().train.batch_size, BaseUse::training);
}

DiskNeed disk_of(const ExpertJob& job) {
  const uint64_t width = size_of(stored_dtype(job.config().registry.dtype));
  DiskNeed disk{0, 0, job.config().registry.path};
  for (const ExpertItem& item : job.items) {
    if (!item.version.empty()) continue;
    const bool gated = item.recipe.gate.schedule.steps > 0;
    // The config and its sums, the sidecar, CURRENT; the LoRA unless it is linked; the gates.
    disk.files += 4 + (item.recipe.train_lora ? 1 : 0) + (gated ? 1 : 0);
    if (item.recipe.train_lora) disk.bytes += width * static_cast<uint64_t>(lora_values(item.recipe));
    if (gated) disk.bytes += 4 * static_cast<uint64_t>(gate_values(item.recipe));
  }
  return disk;
}

std::string range_text(const std::string& low, const std::string& high) {
  return low == high ? low : low + " to " + high;
}

std::string phase_text(bool gate, const std::vector<ExpertItem>& items) {
  double least = 1e300, most = 0;
  int64_t least_steps = INT64_MAX, most_steps = 0;
  std::string worst;
  for (const ExpertItem& item : items) {
    const PhaseSettings& phase = gate ? item.recipe.gate : item.recipe.lora;
    const double epochs = epochs_of(phase, *item.task);
    least_steps = std::min(least_steps, phase.schedule.steps);
    most_steps = std::max(most_steps, phase.schedule.steps);
    least = std::min(least, epochs);
    if (epochs > most) most = epochs, worst = item.name;
  }
  const PhaseSettings& phase = gate ? items[0].recipe.gate : items[0].recipe.lora;
  std::string text = fmt::format(
      "{} of {}, {} epochs, {}{}",
      least_steps == most_steps ? plural(most_steps, "step") : fmt::format("{} to {} steps", least_steps, most_steps),
      plural(phase.batch_size, "example"), range_text(fmt::format("{:.1f}", least), fmt::format("{:.1f}", most)),
      lr_text(phase.schedule), dropout_text(phase.step));
  if (most > many_epochs) text += fmt::format("  (warning: {} sees its examples {:.0f} times)", worst, most);
  return text;
}

std::string lora_text(const ExpertJob& job) {
  const Recipe& recipe = job.items[0].recipe;
  const std::string& from = job.config().lora.init_from;
  return fmt::format("rank {}, scale {:g}, {}{}, {} trained per expert, {}{}", recipe.sites[0].rank,
                     recipe.sites[0].scale, plural(recipe.sites.size(), "site"), from.empty() ? "" : " from " + from,
                     count_text(static_cast<double>(lora_values(recipe))), phase_text(false, job.items),
                     job.config().train.lr ? "" : " (the default rate, which belongs to lora.alpha = 1 at any rank)");
}

std::string gate_text(const ExpertJob& job) {
  const Recipe& recipe = job.items[0].recipe;
  if (recipe.gate.schedule.steps == 0) return "none (gate.steps = 0)";
  return fmt::format("one vector per site, {} trained per expert, {}{}",
                     count_text(static_cast<double>(gate_values(recipe))), phase_text(true, job.items),
                     recipe.gate_bias == 0 ? ""
                                           : fmt::format(", {} at the start (gate.bias {:g})",
                                                         openness_text(recipe.gate_bias), recipe.gate_bias));
}

// "4 experts together, 12 times: arc +3, …"; "": each is trained alone.
std::string packs_text(const ExpertJob& job) {
  size_t most = 0;
  for (const ExpertPack& pack : job.packs) most = std::max(most, pack.members.size());
  if (most < 2) return "";
  return fmt::format("{} experts go through their steps together, {} in all{}", most,
                     plural(static_cast<int64_t>(job.packs.size()), "pack"),
                     job.config().train.pack.count == 0 ? " (train.pack = auto)" : "");
}

// `work`: the packs with what each will take.
Page dry_run_page(const ExpertJob& job, const std::vector<WorkItem>& work) {
  std::vector<std::pair<std::string, double>> in_pack(
      job.items.size());  // by item: its pack, and its share of the time
  for (size_t p = 0; p < job.packs.size(); ++p)
    for (const size_t member : job.packs[p].members)
      in_pack[member] = {job.packs[p].name, work[p].cost / static_cast<double>(job.packs[p].members.size())};
  Table table({"expert", "examples", "validation", "lora steps", "lora epochs", "gate steps", "gate epochs", "time",
               "pack", "note"});
  const auto steps = [](const PhaseSettings& phase, bool runs) {
    return runs ? std::to_string(phase.schedule.steps) : "-";
  };
  for (size_t i = 0; i < job.items.size(); ++i) {
    const ExpertItem& item = job.items[i];
    const Recipe& recipe = item.recipe;
    const double lora = epochs_of(recipe.lora, *item.task), gate = epochs_of(recipe.gate, *item.task);
    const bool is_stored = !item.version.empty();
    table.add({item.name, with_commas(static_cast<int64_t>(item.task->examples(Split::train).size())),
               with_commas(static_cast<int64_t>(item.task->examples(Split::validation).size())),
               steps(recipe.lora, recipe.train_lora), recipe.train_lora ? fmt::format("{:.1f}", lora) : "-",
               steps(recipe.gate, recipe.gate.schedule.steps > 0), fmt::format("{:.1f}", gate),
               is_stored ? Cell("-") : time_cell(in_pack[i].second),
               in_pack[i].first == item.name ? "-" : in_pack[i].first,
               is_stored                            ? "is there: " + item.version
               : std::max(lora, gate) > many_epochs ? "warning: sees its examples more than 20 times"
                                                    : ""});
  }
  return Page("\n") + std::move(table) + "\n";
}

}  // namespace

JobPlan expert_plan(const ExpertJob& job) {
  JobPlan plan;
  if (!job.items.empty()) {
    if (job.items[0].recipe.train_lora) plan.lines.push_back({"lora", lora_text(job)});
    plan.lines.push_back({"gate", gate_text(job)});
    if (const std::string packs = packs_text(job); !packs.empty()) plan.lines.push_back({"pack", packs});
    plan.lines.push_back({"data", data_text(tasks_of(job))});
    plan.memory = memory_of(job);
    plan.dry_run_page = [&job](const std::vector<WorkItem>& work) { return dry_run_page(job, work); };
  }
  plan.label = "registry";
  plan.place = std::filesystem::path(job.config().registry.path).lexically_normal().string();
  plan.verb = "train";
  for (const ExpertItem& item : job.items)
    if (item.version.empty() && !item.why.empty())
      plan.notes.push_back({"", fmt::format("{}: {}", item.name, item.why)});
  if (!job.kept.empty())
    plan.notes.push_back(
        {"", fmt::format("collection {0} keeps {1} beside these (gaggle registry collect {0} --drop or "
                         "--only says otherwise)",
                         job.config().registry.collection, join(job.kept, ", "))});
  if (!job.ungated.empty())
    plan.notes.push_back(
        {"", fmt::format("without data, left ungated: {} ([gate.tasks] EXPERT = \"file.jsonl\" names an "
                         "expert's task)",
                         join(job.ungated, ", "))});
  plan.disk = disk_of(job);
  return plan;
}

}  // namespace gaggle
