// gaggle experts and gaggle gates: for each task a LoRA, then its gate, then a version of the registry.
#pragma once

#include <string>
#include <vector>

#include "job/start.h"
#include "registry/registry.h"
#include "train/recipe.h"

namespace gaggle {

// One expert to make, or to give gates to.
struct ExpertItem {
  std::string name;
  const TokenTask* task = nullptr;
  Recipe recipe;
  std::string parent = {};   // gates: "name@version" whose LoRA stays
  std::string version = {};  // that carries the recipe's key; "": to train
  std::string why = {};      // "v0002, train.lr 0.005 → 0.001": a newer version of something that is there
};

// Experts that go through their steps together: one work item. An expert alone is one as well, of its own name and key.
struct ExpertPack {
  std::string key, name;        // "boolq+3"
  std::vector<size_t> members;  // places among the items
};

struct ExpertJob {
  const JobContext& context;
  std::vector<ExpertItem> items;
  std::vector<ExpertPack> packs = {};     // of all items (packs.h); run_experts forms them
  std::vector<std::string> ungated = {};  // experts without data
  std::vector<std::string> kept = {};     // what the collection pins beside them: it grows

  const Config& config() const { return context.config; }
};

// What can be known before the base is read: folders that cannot be written to, ranks that do not fit.
void check_expert_job(const Config& config, const Session& session);

// Looks up what is there, prints the plan and, unless it is a dry run, trains what is missing, makes the
// collection and prints the closing table. Collective.
Exit run_experts(ExpertJob job);

// Its packs as work items: what each takes, and how it is tried out. What makes them is run_experts'. `job` outlives it.
Job expert_items(const ExpertJob& job);
// Expected FLOP of an item: its steps, and its validation.
double expert_flops(const ExpertItem& item, const BaseModel& base);
// FLOP per second of short steps of the first phase of a pack, which come to about `flops`; gates train as fast as LoRAs.
double expert_rate(const ExpertJob& job, const ExpertPack& pack, double flops);

// Parts of it. LoRA and gate of those of a pack that are not there yet, by the ranks of the attempt; what commits them,
// and then throws NotFinite that names those that failed.
Commit train_experts(const ExpertJob& job, const ExpertPack& pack, Registry& registry, Attempt& attempt);
struct JobPlan;
JobPlan expert_plan(const ExpertJob& job);
// How far gates are open when they begin, σ(gate.bias): "half open", "11.9% open".
std::string openness_text(double bias);
Table expert_table(const ExpertJob& job, const Registry& registry, const JobEnd& end);
std::string collection_block(const ExpertJob& job, const Registry& registry);

}  // namespace gaggle
