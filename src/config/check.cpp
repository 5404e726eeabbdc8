// Rules that one key alone cannot state.
#include "config/check.h"

#include <algorithm>

#include "config/read.h"
#include "config/schema.h"

namespace gaggle {
Complaints cross_check(const Config& config) {
  Complaints complaints;
  check_names(complaints, config);
  refuse_if(config.registry.path.empty(), complaints, "registry.path", "registry.path is empty: name a folder");

  const LoraConfig& lora = config.lora;
  const TrainConfig& train = config.train;
  const ClusterConfig& cluster = config.cluster;
  refuse_if(
      !train.lr && !lora.has_default_lr(), complaints,
      config.origin.contains("lora.alpha") ? "lora.alpha" : "lora.rank",
      "lora.alpha = {:g}, but the default learning rate 5e-3 belongs to lora.alpha = 1, at any rank: set train.lr, or "
      "leave lora.alpha out",
      lora.alpha);
  refuse_if(lora.targets.size() > 1 && std::ranges::find(lora.targets, "all-linear") != lora.targets.end(), complaints,
            "lora.targets", "lora.targets: all-linear stands alone, or name the modules without it");
  refuse_if(train.scale_parameter && train.optimizer != "adafactor", complaints, "train.scale_parameter",
            "train.scale_parameter belongs to train.optimizer = \"adafactor\"");
  refuse_if(train.keep == "best" && train.validate_every == 0, complaints, "train.keep",
            "train.keep = \"best\" needs train.validate_every > 0: without it only the last step is ever measured");
  refuse_if(train.lanes > 0 && train.lanes < cluster.ranks_per_expert, complaints, "train.lanes",
            "train.lanes = {} is fewer than cluster.ranks_per_expert = {}: a rank without a "
            "lane has no work",
            train.lanes, cluster.ranks_per_expert);
  refuse_if(cluster.independent && cluster.ranks_per_expert > 1, complaints, "cluster.independent",
            "cluster.independent = true makes every process its own job, so cluster.ranks_per_expert has to be 1");
  refuse_if(cluster.independent && (config.comm.backend == "mpi" || config.comm.backend == "nccl"), complaints,
            "cluster.independent", "cluster.independent = true and comm.backend = \"{}\" exclude each other",
            config.comm.backend);
  refuse_if(config.eval.length_penalty != 1 && config.eval.beams == 1, complaints, "eval.length_penalty",
            "eval.length_penalty belongs to beam search: set eval.beams > 1");
  refuse_if(config.eval.shots_split != "train" && config.eval.shots == 0, complaints, "eval.shots_split",
            "eval.shots_split belongs to eval.shots > 0: the solved examples before each question");
  refuse_if(train.steps > 0 && is_typed(config, "train.epochs") && !is_typed(config, "train.steps"), complaints,
            "train.epochs", "train.steps = {} wins over train.epochs: give --train.steps=0, too", train.steps);
  check_sampling(complaints, config);
  check_poly(complaints, config);
  check_adapt(complaints, config);
  check_eval_methods(complaints, config);
  return complaints;
}

}  // namespace gaggle
