// Experts that go through their steps together: each is what it is alone, whatever becomes of the others.
#include <gtest/gtest.h>

#include <mutex>

#include "small_expert.h"

namespace gaggle {
namespace {

// Tasks of several lengths and sizes, so that of train.epochs some end early.
std::vector<TokenTask> many_tasks(size_t count) {
  std::vector<TokenTask> tasks;
  for (size_t t = 0; t < count; ++t) {
    TokenTask task = fake_task();
    task.name = fmt::format("task {}", t);
    task.digest = task.name + "'s rows";
    for (auto& examples : task.splits)
      for (TokenExample& example : examples) {
        for (int32_t& id : example.target) id = (id + static_cast<int32_t>(3 * t)) % 11;
        if (t % 2 == 1) example.input.push_back(static_cast<int32_t>(t % 11));
      }
    task.splits[0].resize(task.splits[0].size() - t % 7);
    tasks.push_back(task);
  }
  return tasks;
}

struct Pack {
  std::vector<TokenTask> tasks;
  Config config;

  std::vector<ExpertResult> train(FakeBase& base, Communicator& group, const LoopHooks& hooks = {},
                                  const std::vector<std::filesystem::path>& folders = {}) const {
    std::vector<Recipe> recipes;
    for (const TokenTask& task : tasks) recipes.push_back(small_recipe(base, task, config));
    std::vector<PackedExpert> experts;
    for (size_t t = 0; t < tasks.size(); ++t) experts.push_back({tasks[t], recipes[t]});
    return train_pack(base, experts, "pack", group, hooks, folders);
  }
  std::vector<ExpertResult> train(const LoopHooks& hooks = {},
                                  const std::vector<std::filesystem::path>& folders = {}) const {
    FakeBase base;
    return train(base, *make_self(), hooks, folders);
  }
  std::vector<ExpertResult> each_alone() const {
    std::vector<ExpertResult> results;
    FakeBase base;
    for (const TokenTask& task : tasks)
      results.push_back(train_expert(base, task, small_recipe(base, task, config), *make_self(), {}, {}));
    return results;
  }
};

Config by_epochs() {
  Config config = small_config();
  config.train.steps = 0;
  config.train.epochs = 4;
  return config;
}

void expect_near(const ExpertResult& a, const ExpertResult& b) {
  const auto apart = [](const at::Tensor& x, const at::Tensor& y) { return (x - y).norm() / y.norm(); };
  EXPECT_LT(apart(a.lora, b.lora).item<double>(), 1e-5);
  EXPECT_LT(apart(a.gate, b.gate).item<double>(), 1e-5);
  EXPECT_NEAR(a.metrics["validation_loss"], b.metrics["validation_loss"], 1e-5);
  EXPECT_EQ(a.metrics["best_step"], b.metrics["best_step"]);
}

void expect_equal(const std::vector<ExpertResult>& a, const std::vector<ExpertResult>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) expect_equal(a[i], b[i]);
}

TEST(Pack, EachIsWhatItIsAlone) {
  for (const size_t count : {1, 2, 4, 16})
    for (const Config& config : {small_config(), by_epochs()}) {
      Pack pack{many_tasks(count), config};
      pack.config.train.tokens_per_microbatch = 64;  // several experts in one pass
      const std::vector<ExpertResult> together = pack.train(), alone = pack.each_alone();
      for (size_t i = 0; i < count; ++i) expect_near(together[i], alone[i]);
    }
}

TEST(Pack, ItsStepsArePassesOfAll) {
  Pack pack{many_tasks(4), small_config()};
  pack.config.train.tokens_per_microbatch = 1 << 20;
  pack.config.train.lanes = 1;
  FakeBase base;
  pack.train(base, *make_self());
  EXPECT_EQ(base.passes.size(), 7u + 5u);  // lora and gate steps
}

TEST(Pack, RanksMakeEqualBits) {
  const Pack pack{many_tasks(5), by_epochs()};
  const std::vector<ExpertResult> alone = pack.train();
  for (const int ranks : {2, 3, 8}) {
    std::mutex mutex;
    run_as_threads(ranks, 60, [&](Communicator& group) {
      std::unique_ptr<FakeBase> base;
      {
        const std::lock_guard lock(mutex);  // its weights come from the global generator
        base = std::make_unique<FakeBase>();
      }
      const std::vector<ExpertResult> done = pack.train(*base, group);
      const std::lock_guard lock(mutex);
      expect_equal(done, alone);
    });
  }
}

TEST(Pack, StoppedAnywhereItGoesOnToTheSameBits) {
  const Pack pack{many_tasks(3), by_epochs()};
  const std::vector<ExpertResult> whole = pack.train();
  int stops = 0;
  for (int stop_at = 1; stop_at < 100; stop_at += 3) {
    const Folder folder;
    SnapshotWriter writer(folder.path, "pack", 1);
    LoopHooks hooks;
    hooks.snapshots = &writer;
    std::map<std::pair<std::string, int>, std::pair<int64_t, int64_t>> told;  // steps told, of how many
    hooks.on_step = [&](const StepReport& r) {
      auto& [steps, all] = told[{r.phase, r.member}];
      EXPECT_EQ(++steps, r.step);
      all = r.steps;
    };
    int asked = 0;
    hooks.stop = [&]() -> std::optional<Exit> {
      return ++asked == stop_at ? std::optional(Exit::resumable) : std::nullopt;
    };
    hooks.checkpoint_at_end = true;
    try {
      expect_equal(pack.train(hooks, {folder.path}), whole);
    } catch (const StopRequested&) {
      ++stops;
      hooks.stop = nullptr;
      expect_equal(pack.train(hooks, {folder.path}), whole);
    }
    writer.wait();
    for (const auto& [of, steps] : told) EXPECT_EQ(steps.first, steps.second);
  }
  EXPECT_GT(stops, 12);
}

// Its samples are as long as before, and one of them is not finite.
Pack poisoned(Pack pack, size_t member) {
  for (TokenExample& example : pack.tasks[member].splits[0]) example.input[0] = FakeBase::poison;
  return pack;
}

TEST(Pack, WhoFailsLeavesTheOthersTheirBits) {
  for (const Config& config : {small_config(), by_epochs()}) {
    Pack pack{many_tasks(4), config};
    pack.config.train.tokens_per_microbatch = 64;
    const std::vector<ExpertResult> healthy = pack.train(), done = poisoned(pack, 1).train();
    for (const size_t i : {0, 2, 3}) {
      expect_equal(done[i], healthy[i]);
      EXPECT_EQ(done[i].failure, "");
    }
    EXPECT_NE(done[1].failure.find("not finite in 5 steps running"), std::string::npos) << done[1].failure;
  }
}

TEST(Pack, WhoFailedHasFailedAfterAStopToo) {
  const Pack pack = poisoned({many_tasks(3), small_config()}, 2);
  const std::vector<ExpertResult> whole = pack.train();
  for (const int stop_at : {2, 6, 12, 20}) {
    const Folder folder;
    SnapshotWriter writer(folder.path, "pack", 1);
    LoopHooks hooks;
    hooks.snapshots = &writer;
    hooks.checkpoint_at_end = true;
    int asked = 0;
    hooks.stop = [&]() { return ++asked == stop_at ? std::optional(Exit::resumable) : std::nullopt; };
    EXPECT_THROW(pack.train(hooks, {folder.path}), StopRequested);
    const std::vector<ExpertResult> done = pack.train({}, {folder.path});
    for (size_t i = 0; i < 2; ++i) expect_equal(done[i], whole[i]);
    EXPECT_EQ(done[2].failure, whole[2].failure);
  }
}

TEST(Pack, WhereAllFailItEndsAndNamesThem) {
  const Pack pack = poisoned(poisoned({many_tasks(2), small_config()}, 0), 1);
  try {
    pack.train();
    FAIL();
  } catch (const NotFinite& failed) {
    EXPECT_NE(std::string(failed.what()).find("task 0: "), std::string::npos);
    EXPECT_NE(std::string(failed.what()).find("; task 1: "), std::string::npos);
  }
}

// After a commit that was cut short the others are at their end; of one that failed nothing is left to go on from.
TEST(Pack, GoesOnWithoutThoseThatAreStored) {
  const Pack pack = poisoned({many_tasks(3), small_config()}, 2);
  const Folder folder;
  SnapshotWriter writer(folder.path, "pack", 1);
  LoopHooks hooks;
  hooks.snapshots = &writer;
  hooks.checkpoint_at_end = true;
  const std::vector<ExpertResult> whole = pack.train(hooks, {folder.path});
  writer.wait();
  Pack left = pack;
  left.tasks.erase(left.tasks.begin());
  FakeBase base;
  const std::vector<ExpertResult> done = left.train(base, *make_self(), {}, {folder.path});
  expect_equal(done[0], whole[1]);
  EXPECT_TRUE(base.passes.empty());  // nothing was trained again
  left.tasks.erase(left.tasks.begin());
  EXPECT_THROW(left.train(base, *make_self(), {}, {folder.path}), NotFinite);
  EXPECT_FALSE(base.passes.empty());
}

TEST(Memory, WhereItEndsPassesAreHalved) {
  Config config = small_config();
  config.train.lanes = 3;
  config.train.tokens_per_microbatch = 40;
  Config halved = config;
  halved.train.tokens_per_microbatch = 10;
  const ExpertResult small = train_small_expert(halved);
  for (const int ranks : {1, 3}) {
    std::vector<ExpertResult> of_all;
    std::mutex mutex;
    run_as_threads(ranks, 60, [&](Communicator& group) {
      std::unique_ptr<FakeBase> base;
      {
        const std::lock_guard lock(mutex);
        base = std::make_unique<FakeBase>();
      }
      if (group.rank() == group.size() - 1) base->most_tokens = 10;  // one of them alone
      const TokenTask task = fake_task();
      const ExpertResult done = train_expert(*base, task, small_recipe(*base, task, config), group, {}, {});
      const std::lock_guard lock(mutex);
      expect_near(done, small);
      EXPECT_EQ(done.metrics["not_reproducible"].size(), 2u) << done.metrics;
      of_all.push_back(done);
    });
    for (const ExpertResult& done : of_all) expect_equal(done, of_all.back());
  }
  EXPECT_FALSE(small.metrics.contains("not_reproducible"));
}

TEST(Memory, WhatItAllowedIsKeptInTheCheckpoint) {
  Config config = small_config();
  config.train.lanes = 3;
  config.train.tokens_per_microbatch = 40;
  const TokenTask task = fake_task();
  const auto train = [&](int64_t most_tokens, const LoopHooks& hooks, const Folder& folder) {
    FakeBase base;
    base.most_tokens = most_tokens;
    return train_expert(base, task, small_recipe(base, task, config), *make_self(), hooks, {folder.path});
  };
  const ExpertResult whole = train(10, {}, Folder());
  const Folder folder;
  SnapshotWriter writer(folder.path, small_recipe(FakeBase(), task, config).key, 1);
  LoopHooks hooks;
  hooks.snapshots = &writer;
  int asked = 0;
  hooks.stop = [&]() { return ++asked == 6 ? std::optional(Exit::resumable) : std::nullopt; };
  EXPECT_THROW(train(10, hooks, folder), StopRequested);
  const ExpertResult done = train(1 << 20, {}, folder);  // with more memory at hand
  EXPECT_TRUE(at::equal(done.lora, whole.lora));
  EXPECT_TRUE(done.metrics["not_reproducible"].contains("lora"));
}

TEST(Memory, ARowThatDoesNotFitIsAnError) {
  FakeBase base;
  base.most_tokens = 2;
  const TokenTask task = fake_task();
  EXPECT_THROW(train_expert(base, task, small_recipe(base, task, small_config()), *make_self(), {}, {}),
               std::bad_alloc);
}

}  // namespace
}  // namespace gaggle
