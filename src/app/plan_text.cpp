#include "app/plan_text.h"

#include <algorithm>

#include "adapter/gate.h"
#include "app/estimate.h"
#include "app/plan_lines.h"
#include "base/file.h"
#include "base/names.h"
#include "base/table.h"

namespace gaggle {
namespace {

constexpr double many_epochs = 20;  // beyond these a task is learned by heart

int64_t count_of(const Recipe& recipe, bool gate) {
  return gate ? gate_layout(recipe.sites).size() : lora_layout(recipe.sites).size();
}

std::string memory_text(const ExpertJob& job) {
  const MemoryEstimate need = memory_estimate(job);
  const uint64_t all = need.program + need.base + need.adapter + need.activations;
  return fmt::format(
      "about {} a rank: base {}, adapter with optimiser and checkpoint {}, activations {} "
      "(train.tokens_per_microbatch), program {}",
      bytes_text(all), bytes_text(need.base), bytes_text(need.adapter), bytes_text(need.activations),
      bytes_text(need.program));
}

std::string disk_text(const ExpertJob& job) {
  const uint64_t value = job.config.registry.dtype == "fp32" ? 4 : 2;
  uint64_t bytes = 0;
  size_t files = 0;
  for (const ExpertItem& item : job.items) {
    if (!item.version.empty()) continue;
    const bool gated = item.recipe.gate.schedule.steps > 0;
    // The config and its sums, the sidecar, CURRENT; the LoRA unless it is linked; the gates.
    files += 4 + (item.recipe.train_lora ? 1 : 0) + (gated ? 1 : 0);
    if (item.recipe.train_lora) bytes += value * static_cast<uint64_t>(count_of(item.recipe, false));
    if (gated) bytes += 4 * static_cast<uint64_t>(count_of(item.recipe, true));
  }
  fs::path place = fs::absolute(job.config.registry.path);
  while (!fs::exists(place) && place.has_relative_path()) place = place.parent_path();
  return fmt::format("{} in {} to write, {} free", bytes_text(bytes), plural(files, "file"),
                     bytes_text(fs::space(place).available));
}

std::string phase_text(bool gate, const std::vector<ExpertItem>& items) {
  double least = 1e300, most = 0;
  int64_t least_steps = INT64_MAX, most_steps = 0;
  std::string worst;
  for (const ExpertItem& item : items) {
    const PhaseSettings& its = gate ? item.recipe.gate : item.recipe.lora;
    const double epochs = epochs_of(its, *item.task);
    least_steps = std::min(least_steps, its.schedule.steps);
    most_steps = std::max(most_steps, its.schedule.steps);
    least = std::min(least, epochs);
    if (epochs > most) most = epochs, worst = item.name;
  }
  const auto range = [](const std::string& low, const std::string& high) {
    return low == high ? low : low + " to " + high;
  };
  const PhaseSettings& phase = gate ? items[0].recipe.gate : items[0].recipe.lora;
  std::string text =
      fmt::format("{} steps of {} rows, {} epochs, lr {:g}{}",
                  range(std::to_string(least_steps), std::to_string(most_steps)), phase.batch_size,
                  range(fmt::format("{:.1f}", least), fmt::format("{:.1f}", most)), phase.schedule.lr,
                  phase.schedule.linear ? " falling to 0" : "") +
      dropout_words(phase.step);
  if (most > many_epochs) text += fmt::format("  (warning: {} sees its rows {:.0f} times)", worst, most);
  return text;
}

std::string lora_text(const ExpertJob& job) {
  const Recipe& recipe = job.items[0].recipe;
  const std::string start = job.config.lora.init_from.empty() ? "" : " from " + job.config.lora.init_from;
  return fmt::format("rank {}, scale {:g}, {} sites{}, {} trained per expert, {}", recipe.sites[0].rank,
                     recipe.sites[0].scale, recipe.sites.size(), start,
                     count_text(static_cast<double>(count_of(recipe, false))), phase_text(false, job.items));
}

}  // namespace

std::string plan_text(const ExpertJob& job) {
  const auto& items = job.items;
  std::string text = machine_line(job.session, job.base, job.gemm_flops);
  const auto line = [&](const char* label, const std::string& words) { text += plan_line(label, words); };
  line("model", model_words(job.base));
  if (!items.empty()) {
    const Recipe& recipe = items[0].recipe;
    if (recipe.train_lora) line("lora", lora_text(job));
    line("gate",
         recipe.gate.schedule.steps == 0
             ? "none (gate.steps = 0)"
             : fmt::format("one vector per site, {} trained per expert, {}",
                           count_text(static_cast<double>(count_of(recipe, true))), phase_text(true, items)));
    std::vector<const TokenTask*> tasks;
    for (const ExpertItem& item : items) tasks.push_back(item.task);
    line("data", data_words(tasks));
  }
  const auto to_train = static_cast<size_t>(
      std::count_if(items.begin(), items.end(), [](const ExpertItem& item) { return item.version.empty(); }));
  line("registry", fmt::format("{}   {} of {} there already, {} to train",
                               fs::path(job.config.registry.path).lexically_normal().string(),
                               items.size() - to_train, plural(items.size(), "expert"), to_train));
  for (const ExpertItem& item : items)
    if (item.version.empty() && !item.why.empty()) line("", fmt::format("{}: {}", item.name, item.why));
  if (!job.ungated.empty()) line("", "without data, left ungated: " + join(job.ungated, ", "));
  if (to_train == 0) return text;
  line("memory", memory_text(job));
  line("disk", disk_text(job));
  line("time", "about " + time_text(job_seconds(job)));
  return text;
}

std::string dry_run_text(const ExpertJob& job) {
  Table table({"expert", "rows", "validation", "lora steps", "epochs", "gate steps", "epochs", "time", ""});
  const auto steps = [](const PhaseSettings& phase, bool runs) {
    return runs ? std::to_string(phase.schedule.steps) : "-";
  };
  for (const ExpertItem& item : job.items) {
    const Recipe& recipe = item.recipe;
    const double lora = epochs_of(recipe.lora, *item.task), gate = epochs_of(recipe.gate, *item.task);
    const bool there = !item.version.empty();
    table.add({item.name, with_commas(static_cast<int64_t>(item.task->rows(Split::train).size())),
               with_commas(static_cast<int64_t>(item.task->rows(Split::validation).size())),
               steps(recipe.lora, recipe.train_lora), recipe.train_lora ? fmt::format("{:.1f}", lora) : "-",
               steps(recipe.gate, recipe.gate.schedule.steps > 0), fmt::format("{:.1f}", gate),
               there ? "-" : time_text(item_seconds(item, job)),
               there                                ? "is there: " + item.version
               : std::max(lora, gate) > many_epochs ? "warning: sees its rows more than 20 times"
                                                    : ""});
  }
  return fmt::format("\n{}\n{}; nothing was started\n", table.text(), plural(job.items.size(), "expert"));
}

}  // namespace gaggle
