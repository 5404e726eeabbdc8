// Short steps that say how long a phase will take: they go at any size and leave nothing behind.
#include "train/short_steps.h"

#include <gtest/gtest.h>

#include "adapter/gate.h"
#include "fake_base.h"
#include "train/expert.h"

namespace gaggle {
namespace {

Recipe recipe_of(const FakeBase& base, const TokenTask& task) {
  Config config;
  config.lora.rank = 3;
  config.lora.alpha = 3;
  config.train.steps = 7;
  config.train.batch_size = 9;
  config.train.lr = 0.02;
  config.train.lanes = 8;
  config.train.tokens_per_microbatch = 6;
  config.gate.steps = 5;
  return expert_recipe({config.run.seed, base.sites(), base.content_digest(), at::kFloat},
                       {config.lora, config.train, config.gate, config.cluster.ranks_per_expert}, task);
}

TEST(ShortSteps, NoBitOfAResultChanges) {
  const TokenTask task = fake_task();
  const auto self = make_self();
  ExpertResult results[2];
  for (const bool tried : {false, true}) {
    FakeBase base;
    Recipe recipe = recipe_of(base, task);
    recipe.start = start_of(recipe);
    if (tried)
      for (const double share : {0.0, 0.05, 0.4, 3.0}) {
        LoraAdapter lora(recipe.sites, {start_of(recipe)}, at::kFloat, at::kCPU);
        EXPECT_GT(phase_seconds(base, {{recipe.lora, lora, single_task(task, recipe.lora)}}, share), 0) << share;
        GateAdapter gates(recipe.sites, start_of(recipe), at::kFloat, at::kCPU);
        EXPECT_GT(phase_seconds(base, {{recipe.gate, gates, single_task(task, recipe.gate)}}, share), 0) << share;
      }
    results[tried] = train_expert(base, task, recipe, *self, {}, {});
  }
  EXPECT_TRUE(at::equal(results[0].lora, results[1].lora));
  EXPECT_TRUE(at::equal(results[0].gate, results[1].gate));
  EXPECT_EQ(results[0].metrics, results[1].metrics);
}

}  // namespace
}  // namespace gaggle
