// What a pretraining run shows while it trains, and what machines read of it.
#pragma once

#include "alignment/routing_table.h"
#include "app/pretrain_job.h"
#include "train/running_speed.h"
#include "coordinator/journal.h"
#include "report/live.h"
#include "report/metrics.h"

namespace gaggle {

// Of the first rank.
class PretrainReport {
 public:
  explicit PretrainReport(const PretrainJob& job);
  // `routing`: what the routing table looked like after this step, by kind of site; empty: not looked at.
  void step(const StepReport& report, std::span<const RoutingNumbers> routing);
  void finish(const std::string& version);
  // What measuring alignment cost, of the time of all steps.
  void alignment(int64_t measurements, double seconds, double step_seconds);

 private:
  const PretrainJob& job_;
  LiveView live_;
  MetricsLog metrics_;
  Journal journal_;
  RunningSpeed speed_;
  double started_, last_drawn_ = 0;
};

}  // namespace gaggle
