// Rules that one key alone cannot state.
#include "config/check.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "config/schema.h"

namespace gaggle {

Complaints cross_check(const Config& config) {
  Complaints complaints;
  check_names(complaints, config);

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
  if (config.train.scale_parameter && config.train.optimizer != "adafactor")
    complaints.emplace_back("train.scale_parameter",
                            "train.scale_parameter belongs to train.optimizer = \"adafactor\"");
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
  if (config.cluster.independent && (config.comm.backend == "mpi" || config.comm.backend == "nccl"))
    complaints.emplace_back(
        "cluster.independent",
        fmt::format("cluster.independent = true and comm.backend = \"{}\" exclude each other",
                    config.comm.backend));
  if (config.eval.length_penalty != 1 && config.eval.beams == 1)
    complaints.emplace_back("eval.length_penalty",
                            "eval.length_penalty belongs to beam search: set eval.beams > 1");
  check_sampling(complaints, config);
  check_poly(complaints, config);
  check_adapt(complaints, config);
  check_eval_methods(complaints, config);
  return complaints;
}

}  // namespace gaggle
