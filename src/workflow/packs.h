// Which experts go through their steps together (train.pack): fixed by the config and the tasks, whoever trains.
#pragma once

#include <string>
#include <vector>

#include "config/config.h"
#include "workflow/experts.h"

namespace gaggle {

// Neighbours by numbers of steps, then in the order of the items: so many of each as train.pack says, with "auto" as many
// as fill a micro-batch of train.tokens_per_microbatch on average. The keys of the items change: each names the others of
// its pack.
std::vector<ExpertPack> form_packs(std::vector<ExpertItem>& items, const TrainConfig& train);

}  // namespace gaggle
