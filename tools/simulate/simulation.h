// A cluster run without a cluster: workers that take items by lease, decided by the very plan of the program
// (coordinator/plan.h), under failures, stragglers and preemptions, as discrete events.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace gaggle {

struct SimulationSettings {
  std::vector<double> item_hours;  // of one worker of plain speed, undisturbed
  double estimate_spread = 0.1;  // log-normal sigma of what the plan believes of an item against what it takes
  int workers = 8;               // ranks
  int ranks_per_item = 1;        // cluster.ranks_per_expert: groups of ranks, each of which dies whole
  int jobs = 1;                  // the workers belong to; each is preempted on its own
  bool wait = true;              // cluster.wait: workers without an item stay while others hold some
  double lease_s = 120;          // cluster.lease_s
  double checkpoint_minutes = 10;
  double failures_per_hour = 0;    // of each worker; exponential
  double restart_minutes = 5;      // from a worker's death to its return; also from its preemption
  double preempt_every_hours = 0;  // all workers of a job stop, give their items back and return; 0: never
  double straggler_share = 0, straggler_factor = 2;  // that many workers are so much slower
  int lanes = 8;                                     // most ranks on an item
  double efficiency = 0.8;  // n ranks are as fast as 1 + efficiency · (L / ⌈L / n⌉ - 1) of one, L lanes
  uint64_t seed = 0;
};

struct SimulationResult {
  double makespan_h = 0;
  double bound_h = 0;     // no schedule of undisturbed ranks of plain speed, one at an item, is shorter
  double idle_share = 0;  // of workers · makespan: neither at an item nor away
  double lost_h = 0;      // worker hours since a checkpoint that died with their worker
  int done = 0, aside = 0, deaths = 0, takeovers = 0;
  int most_commits = 0;     // of any item
  double worst_wait_s = 0;  // an item could be taken, a worker had none: until it was taken
  // Operations on the folder of leases.
  int64_t claims = 0;  // leases made
  double lists = 0, reads = 0, writes = 0;
  double worst_minute_per_s = 0;   // all of them, in the worst minute
  std::vector<std::string> order;  // keys in the order they were taken
};

// How much faster than one rank so many are that share an item's lanes.
double group_speed(const SimulationSettings& settings, int ranks);

// The longest item; the total over the workers; of the k·W + 1 longest items, some worker has k + 1.
double makespan_bound(std::vector<double> hours, int workers);

// `count` durations of that mean, log-normal with that sigma; the same for everybody who gives the same seed.
std::vector<double> spread_hours(int count, double mean, double sigma, uint64_t seed);

// A function of its settings alone.
SimulationResult simulate(const SimulationSettings& settings);

}  // namespace gaggle
