// The block that stands before step 0: the whole truth about what a training run will do.
#pragma once

#include <string>
#include <vector>

#include "app/inputs.h"
#include "app/session.h"
#include "train/recipe.h"

namespace gaggle {

// One expert to make, or to give gates to.
struct ExpertItem {
  std::string name;
  const TokenTask* task = nullptr;
  Recipe recipe;
  std::string parent;   // gates: "name@version" whose LoRA stays
  std::string version;  // already there with this key; "": to train
  std::string why;      // "v0002, train.lr 0.005 → 0.001": a newer version of something that is there
};

struct PlanFacts {
  const Config& config;
  const Session& session;
  const BaseModel& base;
  const std::vector<ExpertItem>& items;
  std::vector<std::string> ungated;  // experts without data
  double gemm_flops = 0;
};

std::string plan_text(const PlanFacts& facts);

// Seconds this item should take: useful FLOP at about half of the measured GEMM rate.
double item_seconds(const ExpertItem& item, const BaseModel& base, double gemm_flops);

}  // namespace gaggle
