// A single bit that differs on one rank is found, and the rank and the tensor are named.
#include "train/same_values.h"

#include <gtest/gtest.h>

#include <mutex>

#include "../model/fake_checkpoint.h"
#include "base/error.h"
#include "fake_base.h"
#include "train/skills.h"

namespace gaggle::same_values {
namespace {

const ParameterLayout& three_tensors() {
  static const ParameterLayout layout({{"first", {3, 5}}, {"second", {4}}, {"third", {2}}});
  return layout;
}

// What each of three ranks says when one of them has `spoil` done to its values; "": nothing.
std::vector<std::string> complaints(int spoiled, const std::function<void(at::Tensor)>& spoil) {
  std::vector<std::string> said(3);
  run_as_threads(3, 60, [&](Communicator& group) {
    at::Tensor flat = at::arange(three_tensors().size(), at::kFloat) / 7;
    if (group.rank() == spoiled) spoil(flat);
    try {
      check_same_values(group, three_tensors(), flat, "lora", 100);
    } catch (const SystemError& error) {
      said[static_cast<size_t>(group.rank())] = error.what();
    }
  });
  return said;
}

TEST(SameValues, EqualValuesPass) {
  EXPECT_EQ(complaints(1, [](at::Tensor) {}), std::vector<std::string>(3));
}

TEST(SameValues, OneBitIsFoundAndNamedOnEveryRank) {
  const auto complain = [](int rank, int64_t place) {
    return complaints(rank, [&](at::Tensor flat) { flat.view(at::kInt).narrow(0, place, 1).bitwise_xor_(1); });
  };
  const auto expect = [](const std::vector<std::string>& errors, const std::string& words) {
    for (const std::string& error : errors)
      EXPECT_NE(error.find("lora step 100: the ranks hold different values. " + words), std::string::npos) << error;
  };
  expect(complain(1, 0), "Rank 1 of the group differs from rank 0 first in first");
  expect(complain(2, 17), "Rank 2 of the group differs from rank 0 first in second");
  expect(complain(0, 20), "Rank 0 of the group differs from rank 1 first in third");
}

TEST(SameValues, TheSignOfZeroAndExchangedValuesCount) {
  EXPECT_NE(complaints(1, [](at::Tensor flat) { flat.narrow(0, 0, 1).neg_(); })[0], "");
  EXPECT_NE(complaints(1, [](at::Tensor flat) { flat.narrow(0, 0, 15).copy_(flat.narrow(0, 0, 15).flip(0)); })[0], "");
}

// The loop asks: a value that changes behind its back ends the run.
TEST(SameValues, ARunThatDriftsApartEnds) {
  Config config;
  config.poly.skills = 2, config.poly.heads = 1, config.poly.rank = 1;
  config.train.steps = 6, config.train.batch_size = 8, config.train.lr = 0.01;
  std::string error;
  std::mutex mutex;
  const auto run = [&](int64_t compare_every) {
    error.clear();
    run_as_threads(2, 60, [&](Communicator& group) {
      FakeCheckpoint checkpoint;
      LlamaModel base(checkpoint, at::kFloat, at::kCPU, BaseUse::training);
      const std::vector<TokenTask> tasks = fake_tasks();
      const SkillsRecipe recipe = skills_recipe({config.run.seed, base.sites(), "fake", at::kFloat},
                                                {config.data, config.lora, config.train, config.poly}, tasks, 8);
      PolyAdapter adapter(recipe.spec, recipe.start, recipe.schedule, at::kFloat, at::kCPU);
      LoopHooks hooks;
      hooks.compare_every = compare_every;
      hooks.after_step = [&](const StepReport& report) {
        if (group.rank() == 1 && report.step == 3) adapter.values().narrow(0, 2, 1).add_(1);
      };
      try {
        train_skills(base, tasks, recipe, adapter, group, hooks, "nowhere");
      } catch (const SystemError& caught) {
        const std::lock_guard lock(mutex);
        error = caught.what();
      }
    });
    return error;
  };
  EXPECT_NE(run(1).find("step 3: the ranks hold different values"), std::string::npos) << error;
  EXPECT_EQ(run(0), "");  // the owner's values are spread again in the next step
}

}  // namespace
}  // namespace gaggle::same_values
