// An expert that is trained in a moment, on the fake base.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>

#include "fake_base.h"
#include "train/expert.h"

namespace gaggle {

inline Config small_config() {
  Config config;
  config.lora.rank = 3;
  config.lora.alpha = 3;
  config.lora.init_std = 0.3;
  config.train.steps = 7;
  config.train.batch_size = 9;
  config.train.lr = 0.02;
  config.train.lanes = 8;
  config.train.weight_decay = 0.1;
  config.train.tokens_per_microbatch = 6;
  config.train.validate_every = 2;
  config.train.keep = "best";
  config.gate.steps = 5;
  return config;
}

inline Recipe small_recipe(const FakeBase& base, const TokenTask& task, const Config& config) {
  return expert_recipe({config.run.seed, base.sites(), base.content_digest(), at::kFloat},
                       {config.lora, config.train, config.gate, config.cluster.ranks_per_expert}, task);
}

inline ExpertResult train_small_expert(const Config& config, const LoopHooks& hooks = {},
                                       const std::vector<std::filesystem::path>& folders = {}) {
  FakeBase base;
  const TokenTask task = fake_task();
  const auto self = make_self();
  return train_expert(base, task, small_recipe(base, task, config), *self, hooks, folders);
}

inline void expect_equal(const ExpertResult& a, const ExpertResult& b) {
  EXPECT_TRUE(at::equal(a.lora, b.lora));
  EXPECT_TRUE(at::equal(a.gate, b.gate));
  EXPECT_EQ(a.metrics, b.metrics);
}

struct Folder {
  std::filesystem::path path = std::filesystem::temp_directory_path() /
                               ("gaggle_" + std::string(testing::UnitTest::GetInstance()->current_test_info()->name()));
  Folder() { std::filesystem::remove_all(path), std::filesystem::create_directories(path); }
  ~Folder() { std::filesystem::remove_all(path); }
};

}  // namespace gaggle
