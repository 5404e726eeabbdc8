#include "app/plan_text.h"

#include <algorithm>
#include <set>

#include "adapter/gate.h"
#include "app/command_line.h"
#include "base/names.h"
#include "base/table.h"

namespace gaggle {
namespace {

constexpr double expected_share = 0.4;  // of the GEMM rate, as measured on CPUs (DESIGN 10)

double mean_rows(const TokenTask& task) {
  double rows = 0;
  for (const TokenRow& row : task.rows(Split::train)) rows += static_cast<double>(fed_rows(row));
  return rows / static_cast<double>(std::max<size_t>(1, task.rows(Split::train).size()));
}

int64_t count_of(const Recipe& recipe, bool gate) {
  return gate ? gate_layout(recipe.sites).size() : lora_layout(recipe.sites).size();
}

std::string first_line(const PlanFacts& facts) {
  const auto ranks = facts.session.world->size();
  return fmt::format("{} · {} rank{} of {} thread{} · {}, measured {}FLOP/s\n", version_text(), ranks,
                     ranks == 1 ? "" : "s", facts.session.threads, facts.session.threads == 1 ? "" : "s",
                     hardware_text(facts.base.device(), facts.base.dtype()), count_text(facts.gemm_flops));
}

std::string data_text(const std::vector<ExpertItem>& items) {
  int64_t rows = 0, cut = 0, longest = 0;
  for (const ExpertItem& item : items) {
    cut += item.task->rows_cut;
    rows += static_cast<int64_t>(item.task->rows(Split::train).size());
    for (const TokenRow& row : item.task->rows(Split::train)) longest = std::max(longest, fed_rows(row));
  }
  return fmt::format("{} tasks, {} training rows, longest {} tokens, {} rows cut", items.size(),
                     with_commas(rows), longest, with_commas(cut));
}

// What one worker holds besides the page cache.
std::string memory_text(const PlanFacts& facts) {
  const ModelSpec& spec = facts.base.spec();
  const auto width = static_cast<uint64_t>(facts.base.dtype() == at::kFloat ? 4 : 2);
  const auto base = static_cast<uint64_t>(facts.base.parameters()) * width;
  int64_t trained = 0;
  for (const ExpertItem& item : facts.items)
    trained = std::max(trained, count_of(item.recipe, !item.recipe.train_lora));
  const auto adapter = static_cast<uint64_t>(trained) * 18;  // value, gradient, two moments, copy in bf16
  const auto rows = static_cast<uint64_t>(facts.config.train.tokens_per_microbatch);
  const auto activations = rows * static_cast<uint64_t>(spec.layers) *
                           static_cast<uint64_t>(8 * spec.hidden + 4 * spec.intermediate) * width;
  return fmt::format(
      "base {}, adapter with optimiser {}, activations at most about {} (train.tokens_per_microbatch)",
      bytes_text(base), bytes_text(adapter), bytes_text(activations));
}

std::string disk_text(const PlanFacts& facts, size_t to_train) {
  uint64_t bytes = 0;
  for (const ExpertItem& item : facts.items)
    if (item.version.empty())
      bytes += 4 * static_cast<uint64_t>(count_of(item.recipe, false) + count_of(item.recipe, true));
  std::filesystem::path place = std::filesystem::absolute(facts.config.registry.path);
  while (!std::filesystem::exists(place) && place.has_relative_path()) place = place.parent_path();
  return fmt::format("{} in {} files to write, {} free", bytes_text(bytes), to_train * 5,
                     bytes_text(std::filesystem::space(place).available));
}

std::string phase_text(const PhaseSettings& phase, const std::vector<ExpertItem>& items) {
  double least = 1e300, most = 0;
  std::string worst;
  for (const ExpertItem& item : items) {
    const PhaseSettings& its = phase.phase == 0 ? item.recipe.lora : item.recipe.gate;
    const double epochs = epochs_of(its, *item.task);
    least = std::min(least, epochs);
    if (epochs > most) most = epochs, worst = item.name;
  }
  std::string text = fmt::format("{} steps of {} rows, {:.1f} to {:.1f} epochs, lr {:g}", phase.schedule.steps,
                                 phase.batch_size, least, most, phase.schedule.lr);
  if (most > 20) text += fmt::format("  (warning: {} sees its rows {:.0f} times)", worst, most);
  return text;
}

}  // namespace

double item_seconds(const ExpertItem& item, const BaseModel& base, double gemm_flops) {
  const PhaseSettings &lora = item.recipe.lora, &gate = item.recipe.gate;
  const auto samples =
      static_cast<double>((item.recipe.train_lora ? lora.schedule.steps * lora.batch_size : 0) +
                          gate.schedule.steps * gate.batch_size);
  const double flops = 4 * static_cast<double>(base.linear_weights()) * samples * mean_rows(*item.task);
  return flops / (expected_share * std::max(1.0, gemm_flops));
}

std::string plan_text(const PlanFacts& facts) {
  const auto& items = facts.items;
  const BaseModel& base = facts.base;
  std::string text = first_line(facts);
  const auto line = [&](const char* label, const std::string& words) {
    text += fmt::format("{:<9} {}\n", label, words);
  };
  line("model", fmt::format("{}   {}, {} parameters frozen, {} sites", base.spec().name, base.spec().model_type,
                            count_text(static_cast<double>(base.parameters())), base.sites().size()));
  if (!items.empty()) {
    const Recipe& recipe = items[0].recipe;
    if (recipe.train_lora)
      line("lora", fmt::format("rank {}, alpha {:g}, {} sites, {} trained per expert, {}",
                               facts.config.lora.rank, facts.config.lora.alpha, recipe.sites.size(),
                               count_text(static_cast<double>(count_of(recipe, false))),
                               phase_text(recipe.lora, items)));
    if (recipe.gate.schedule.steps > 0)
      line("gate", fmt::format("one vector per site, {} trained per expert, {}",
                               count_text(static_cast<double>(count_of(recipe, true))),
                               phase_text(recipe.gate, items)));
    else
      line("gate", "none (gate.steps = 0)");
    line("data", data_text(items));
  }
  double seconds = 0, longest = 0;
  size_t to_train = 0;
  for (const ExpertItem& item : items) {
    if (!item.version.empty()) continue;
    ++to_train;
    seconds += item_seconds(item, base, facts.gemm_flops);
    longest = std::max(longest, item_seconds(item, base, facts.gemm_flops));
  }
  line("registry", fmt::format("{}   {} of {} experts there already, {} to train", facts.config.registry.path,
                               items.size() - to_train, items.size(), to_train));
  for (const ExpertItem& item : items)
    if (item.version.empty() && !item.why.empty()) line("", fmt::format("{}: {}", item.name, item.why));
  if (!facts.ungated.empty()) line("", "without data, left ungated: " + join(facts.ungated, ", "));
  line("memory", memory_text(facts));
  line("disk", disk_text(facts, to_train));
  const auto workers = static_cast<double>(facts.session.world->size()) /
                       static_cast<double>(std::max<int64_t>(1, facts.config.cluster.ranks_per_expert));
  line("time", "about " + time_text(std::max(longest, seconds / std::max(1.0, workers))));
  return text;
}

}  // namespace gaggle
