// Rules that one key alone cannot state.
#include <algorithm>
#include <cmath>
#include <set>

#include "base/error.h"
#include "base/names.h"
#include "config/schema.h"

namespace gaggle {
namespace {

using Complaints = std::vector<std::pair<std::string, std::string>>;

void check_as_name(Complaints& complaints, const std::string& key, const std::string& value,
                   const std::string& what) {
  try {
    check_name(value, what);
  } catch (const UserError& error) {
    complaints.emplace_back(key, error.what());
  }
}

void check_methods(Complaints& complaints, const std::vector<std::string>& methods) {
  static const std::vector<std::string> known = {"none",   "uniform", "arrow",      "phatgoose",
                                                 "oracle", "experts", "expert:NAME"};
  const std::string key = "eval.methods";
  if (methods.empty())
    complaints.emplace_back(key, "eval.methods is empty: name at least one, e.g. [\"phatgoose\"]");
  std::set<std::string> seen;
  for (const auto& method : methods) {
    if (!seen.insert(method).second)
      complaints.emplace_back(key, fmt::format("eval.methods names \"{}\" twice", method));
    if (method.starts_with("expert:")) {
      check_as_name(complaints, key, method.substr(7), "eval.methods: the expert in \"" + method + "\",");
    } else if (std::find(known.begin(), known.end() - 1, method) == known.end() - 1) {
      const std::string near = nearest_name(method, known);
      complaints.emplace_back(
          key, fmt::format("eval.methods: unknown method \"{}\"{}; known: {}", method,
                           near.empty() ? "" : fmt::format(" (did you mean {}?)", near), join(known, ", ")));
    }
  }
}

}  // namespace

Complaints cross_check(const Config& config) {
  Complaints complaints;
  check_as_name(complaints, "run.name", config.run.name, "run.name");
  if (!config.run.variant.empty()) check_as_name(complaints, "run.variant", config.run.variant, "run.variant");
  if (!config.registry.collection.empty())
    check_as_name(complaints, "registry.collection", config.registry.collection, "registry.collection");
  if (!config.eval.collection.empty())
    check_as_name(complaints, "eval.collection", config.eval.collection, "eval.collection");
  for (const auto& [expert, file] : config.gate.tasks)
    check_as_name(complaints, "gate.tasks", expert, "gate.tasks: the expert");

  const double scale = config.lora.alpha / static_cast<double>(config.lora.rank);
  if (!config.train.lr && std::abs(scale * 16 - 1) > 1e-9)
    complaints.emplace_back(
        config.origin.contains("lora.rank") ? "lora.rank" : "lora.alpha",
        fmt::format("lora.alpha / lora.rank = {:.4g}, but the default learning rate 5e-3 belongs to "
                    "scale 1/16: set train.lr, or keep alpha = rank / 16 (here {:g})",
                    scale, static_cast<double>(config.lora.rank) / 16));
  if (config.lora.targets.size() > 1 && std::find(config.lora.targets.begin(), config.lora.targets.end(),
                                                  "all-linear") != config.lora.targets.end())
    complaints.emplace_back("lora.targets",
                            "lora.targets: all-linear stands alone, or name the modules without it");
  if (config.train.keep == "best" && config.train.validate_every == 0)
    complaints.emplace_back("train.keep",
                            "train.keep = \"best\" needs train.validate_every > 0: without it only the "
                            "last step is ever measured");
  if (config.train.lanes > 0 && config.train.lanes < config.cluster.ranks_per_expert)
    complaints.emplace_back(
        "train.lanes",
        fmt::format("train.lanes = {} is fewer than cluster.ranks_per_expert = {}: a rank without a "
                    "lane has no work",
                    config.train.lanes, config.cluster.ranks_per_expert));
  if (config.cluster.independent && config.cluster.ranks_per_expert > 1)
    complaints.emplace_back("cluster.independent",
                            "cluster.independent = true makes every process its own job, so "
                            "cluster.ranks_per_expert has to be 1");
  if (config.cluster.independent && config.comm.backend == "mpi")
    complaints.emplace_back("cluster.independent",
                            "cluster.independent = true and comm.backend = \"mpi\" exclude each other");
  check_methods(complaints, config.eval.methods);
  return complaints;
}

}  // namespace gaggle
