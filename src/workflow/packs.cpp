#include "workflow/packs.h"

#include <algorithm>
#include <numeric>

#include "base/sha256.h"
#include "job/cost.h"

namespace gaggle {
namespace {

const PhaseSettings& first_phase(const ExpertItem& item) {
  return item.recipe.train_lora ? item.recipe.lora : item.recipe.gate;
}

// Tokens that a lane of a step of one expert feeds, on average.
double tokens_of_lane(const std::vector<ExpertItem>& items) {
  double tokens = 0;
  for (const ExpertItem& item : items) {
    const PhaseSettings& phase = first_phase(item);
    tokens += mean_fed_tokens(item.task->examples(Split::train)) * static_cast<double>(phase.batch_size) /
              static_cast<double>(phase.step.lanes);
  }
  return tokens / static_cast<double>(items.size());
}

size_t size_of_packs(const std::vector<ExpertItem>& items, const TrainConfig& train) {
  if (train.pack.count > 0) return static_cast<size_t>(train.pack.count);
  const double fit = static_cast<double>(train.tokens_per_microbatch) / std::max(1.0, tokens_of_lane(items));
  return static_cast<size_t>(std::clamp(fit, 1.0, static_cast<double>(items.size())));
}

void know_each_other(std::vector<ExpertItem>& items, const std::vector<size_t>& members) {
  nlohmann::json keys;
  for (const size_t member : members) keys[items[member].name] = items[member].recipe.key;
  for (const size_t member : members) {
    Recipe& recipe = items[member].recipe;
    recipe.json["pack"] = keys;
    recipe.key = sha256_hex(recipe.json.dump());
  }
}

}  // namespace

std::vector<ExpertPack> form_packs(std::vector<ExpertItem>& items, const TrainConfig& train) {
  if (items.empty()) return {};
  std::vector<size_t> order(items.size());
  std::iota(order.begin(), order.end(), 0);
  const size_t size = size_of_packs(items, train);
  if (size > 1)
    std::ranges::stable_sort(order, {}, [&](size_t i) {
      return std::pair(items[i].recipe.lora.schedule.steps, items[i].recipe.gate.schedule.steps);
    });
  std::vector<ExpertPack> packs;
  for (size_t begin = 0; begin < order.size(); begin += size) {
    ExpertPack pack;
    pack.members.assign(order.begin() + static_cast<std::ptrdiff_t>(begin),
                        order.begin() + static_cast<std::ptrdiff_t>(std::min(order.size(), begin + size)));
    if (pack.members.size() > 1) know_each_other(items, pack.members);
    const ExpertItem& first = items[pack.members[0]];
    pack.name = first.name;
    pack.key = first.recipe.key;
    if (pack.members.size() > 1) {
      pack.name += fmt::format("+{}", pack.members.size() - 1);
      pack.key = sha256_hex(fmt::format("pack {}", first.recipe.json["pack"].dump()));
    }
    packs.push_back(std::move(pack));
  }
  return packs;
}

}  // namespace gaggle
