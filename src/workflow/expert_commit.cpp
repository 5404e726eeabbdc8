#include "workflow/expert_commit.h"

#include "library/lora.h"

namespace gaggle {

std::string commit_expert(const ExpertJob& job, Registry& registry, const ExpertItem& item,
                          const ExpertResult& result) {
  Lora expert;
  expert.name = item.name;
  expert.sites = item.recipe.sites;
  expert.values = result.lora;
  if (result.gate.defined()) expert.gates = gates_by_site(expert.sites, result.gate);
  Provenance made{job.context.base,
                  stored_dtype(job.config().registry.dtype),
                  item.recipe.key,
                  {{"task", item.task->name},
                   {"recipe", item.recipe.json},
                   {"data", item.task->digest},
                   {"metrics", result.metrics}}};
  if (item.parent.empty()) return store_lora(registry, expert, made);
  made.about["parents"] = {item.parent};
  return store_gates(registry, item.parent, expert, made);
}

}  // namespace gaggle
