// Runs of many workers by the plan alone: what holds whatever fails, and how near the bound they come.
#include "simulate/simulation.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <deque>
#include <fstream>
#include <map>
#include <numeric>

#include "base/file.h"
#include "coordinator/queue.h"

namespace gaggle {
namespace {

SimulationSettings troubled(int items, int workers, uint64_t seed) {
  SimulationSettings settings;
  settings.item_hours = spread_hours(items, 2, 0.7, seed);
  settings.workers = workers;
  settings.jobs = 3;
  settings.failures_per_hour = 0.2;
  settings.preempt_every_hours = 1.5;
  settings.straggler_share = 0.1;
  settings.seed = seed;
  return settings;
}

TEST(Simulation, WhateverFailsEveryItemEndsAndNothingIsCommittedTwice) {
  for (uint64_t seed = 0; seed < 12; ++seed)
    for (const int workers : {1, 5, 60})
      for (const bool wait : {false, true}) {
        SimulationSettings settings = troubled(40, workers, seed);
        settings.wait = wait;
        settings.checkpoint_minutes = seed % 2 == 0 ? 10 : 300;  // most losses count against their item
        const SimulationResult r = simulate(settings);
        EXPECT_EQ(r.done + r.aside, 40);
        EXPECT_EQ(r.most_commits, 1);
        EXPECT_GT(r.deaths, 0);
        EXPECT_LE(r.lost_h, r.deaths * settings.checkpoint_minutes / 60 + 1e-9);
        EXPECT_GT(r.makespan_h, 0);
        EXPECT_TRUE(r.idle_share >= 0 && r.idle_share < 1) << r.idle_share;
      }
}

TEST(Simulation, WhoHasNothingTakesWhatOpensWithinALeaseAndALook) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const SimulationSettings settings = troubled(50, 70, seed);
    EXPECT_LE(simulate(settings).worst_wait_s, settings.lease_s + settings.lease_s / 4) << seed;
  }
}

TEST(Simulation, ASeedGivesTheSameRun) {
  const SimulationResult a = simulate(troubled(50, 20, 7)), b = simulate(troubled(50, 20, 7));
  EXPECT_EQ(a.order, b.order);
  EXPECT_EQ(a.makespan_h, b.makespan_h);
  EXPECT_EQ(a.reads, b.reads);
  EXPECT_NE(a.makespan_h, simulate(troubled(50, 20, 8)).makespan_h);
}

TEST(Simulation, WorkThatLeavesCheckpointsIsNotSetAsideHoweverManyWorkersDie) {
  SimulationSettings settings;
  settings.item_hours = std::vector<double>(20, 10.0);
  settings.workers = 10;
  settings.failures_per_hour = 0.5;
  settings.checkpoint_minutes = 1;
  const SimulationResult r = simulate(settings);
  EXPECT_GT(r.deaths, 60);  // more than two an item
  EXPECT_EQ(r.aside, 0);
}

// The bound by hand: all schedules of few items.
TEST(Simulation, NoScheduleIsShorterThanTheBound) {
  for (uint64_t seed = 0; seed < 40; ++seed) {
    const int workers = 2 + static_cast<int>(seed % 2);
    const std::vector<double> hours = spread_hours(6, 1, 1, seed);
    double best = 1e9;
    for (int code = 0; code < 729; ++code) {
      std::vector<double> of(3, 0.0);
      for (int i = 0, rest = code; i < 6; ++i, rest /= 3)
        of[static_cast<size_t>(rest % 3)] += hours[static_cast<size_t>(i)];
      if (workers == 2 && of[2] > 0) continue;
      best = std::min(best, *std::max_element(of.begin(), of.end()));
    }
    EXPECT_LE(makespan_bound(hours, workers), best + 1e-9);
    EXPECT_GE(makespan_bound(hours, workers), 0.7 * best);
  }
  EXPECT_DOUBLE_EQ(makespan_bound({1, 1, 1, 1, 1}, 2), 3);
}

// The aims of the design: 166 experts, mean of 100 seeds (20 here; docs/cluster-simulation.md has them all).
TEST(Simulation, HundredsOfExpertsComeNearTheBound) {
  for (const double failures : {0.0, 0.01})
    for (const int workers : {8, 32, 64, 128, 512}) {
      double sum = 0;
      for (uint64_t seed = 0; seed < 20; ++seed) {
        SimulationSettings settings;
        settings.item_hours = spread_hours(166, 6, 0.5, seed);
        settings.workers = workers;
        settings.failures_per_hour = failures;
        settings.seed = seed;
        const SimulationResult r = simulate(settings);
        sum += r.makespan_h / r.bound_h;
      }
      EXPECT_GE(sum / 20, 0.9999);
      EXPECT_LE(sum / 20, failures > 0 ? 1.20 : 1.15) << workers << " workers, " << failures;
    }
}

TEST(Simulation, ThousandsOfWorkers) {
  SimulationSettings settings;
  settings.item_hours = spread_hours(4000, 2, 0.5, 0);
  settings.workers = 2000;
  settings.failures_per_hour = 0.01;
  const SimulationResult r = simulate(settings);
  EXPECT_EQ(r.done, 4000);
  EXPECT_LE(r.makespan_h, 1.2 * r.bound_h);
}

// Counts what the queue does to the folder of leases.
struct CountingFiles : LeaseFiles {
  int lists = 0, reads = 0, claims = 0;
  bool create_exclusive(const fs::path& path, const std::string& content) override {
    ++claims;
    return LeaseFiles::create_exclusive(path, content);
  }
  std::optional<std::string> read(const fs::path& path) override {
    ++reads;
    return LeaseFiles::read(path);
  }
  std::vector<std::string> list(const fs::path& folder) override {
    ++lists;
    return LeaseFiles::list(folder);
  }
};

// The queue on files, driven through the simulated run's events: two workers whose items end when the costs
// say so take the same items in the same order, by as many operations.
TEST(Simulation, TheQueueOnFilesTakesTheSameItemsInTheSameOrder) {
  SimulationSettings settings;
  settings.item_hours = spread_hours(12, 1, 0.6, 3);
  settings.estimate_spread = 0;
  settings.workers = 2;
  settings.wait = false;
  const SimulationResult simulated = simulate(settings);

  const fs::path folder = fs::temp_directory_path() / ("gaggle_simulated_" + std::to_string(::getpid()));
  fs::remove_all(folder);
  fs::create_directories(folder / "done");
  std::vector<WorkItem> items;
  for (size_t i = 0; i < settings.item_hours.size(); ++i)
    items.push_back({std::to_string(i), "", 3600 * settings.item_hours[i]});
  const auto files = std::make_shared<CountingFiles>();
  std::deque<WorkQueue> queues;
  for (const char* worker : {"a", "b"}) {
    QueueOptions options;
    options.folder = folder;
    options.worker = worker;
    options.files = files;
    options.done = [&](const WorkItem& item) { return fs::exists(folder / "done" / item.key); };
    queues.emplace_back(std::move(options), items);
  }
  std::vector<std::string> order;
  std::map<double, std::pair<size_t, Taken>> ends;  // when → which worker, with what
  const auto take = [&](size_t w, double now) {
    if (auto taken = queues[w].next()) {
      order.push_back(taken->item.key);
      const double end = now + taken->item.cost;
      ends.emplace(end, std::pair(w, std::move(*taken)));
    }
  };
  // Who starts first does not matter: equal workers, the same two longest items.
  take(0, 0);
  take(1, 1e-6);
  while (!ends.empty()) {
    auto ended = ends.extract(ends.begin());
    auto& [w, taken] = ended.mapped();
    std::ofstream(folder / "done" / taken.item.key) << "x";
    EXPECT_TRUE(queues[w].still_mine(taken));
    queues[w].finish(std::move(taken));
    take(w, ended.key());
  }
  EXPECT_EQ(order, simulated.order);
  EXPECT_EQ(files->claims, simulated.claims);
  // At the end the simulated worker, of another host, polls until it has seen the other's counter move.
  EXPECT_NEAR(files->lists, simulated.lists, 8);
  EXPECT_NEAR(files->reads, simulated.reads, 8);
  fs::remove_all(folder);
}

}  // namespace
}  // namespace gaggle
