// What `gaggle experts` and `gaggle gates` share: workers take items by lease, train, commit, and report.
#pragma once

#include <functional>

#include "app/commands.h"
#include "app/plan_text.h"

namespace gaggle {

struct ExpertJob {
  const Config& config;
  const CommandOptions& options;
  Session& session;
  BaseModel& base;
  std::vector<ExpertItem>& items;
  double gemm_flops = 0;
};

// Which items are there already, and why the others are not: fills version and why.
// A registry that is not there yet is left so.
void look_up(std::vector<ExpertItem>& items, const std::filesystem::path& registry, const BaseFingerprint& base,
             bool accept_base);

// The worker's loop, the collection, the closing table.
Exit run_job(const ExpertJob& job);

}  // namespace gaggle
