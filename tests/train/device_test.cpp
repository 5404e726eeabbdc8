// Steps whose tensors travel over device(): the same bits as alone, and a rank that fails tells it before NCCL
// is asked for anything.
#include <gtest/gtest.h>

#include <mutex>

#include "../comm/nccl_ranks.h"
#include "fake_base.h"
#include "train/expert.h"

namespace gaggle {
namespace {

class FailingBase : public FakeBase {
 public:
  at::Tensor forward_backward(const Microbatch& batch, SiteAdapter& adapter, const LossOptions& options,
                              const BaseDropout& dropout) override {
    if (passes_left-- == 0) system_error("out of memory");
    return FakeBase::forward_backward(batch, adapter, options, dropout);
  }
  int passes_left = -1;
};

ExpertResult train_with(Communicator& group, int passes) {
  static std::mutex mutex;
  std::unique_ptr<FailingBase> base;
  {
    const std::lock_guard lock(mutex);  // its weights come from the global generator
    base = std::make_unique<FailingBase>();
  }
  base->passes_left = passes;
  Config config;
  config.lora.rank = 3;
  config.lora.alpha = 3;
  config.lora.init_std = 0.3;
  config.train.steps = 6;
  config.train.batch_size = 9;
  config.train.lr = 0.02;
  config.train.lanes = 8;
  config.gate.steps = 3;
  const TokenTask task = fake_task();
  const Recipe recipe = expert_recipe({config.run.seed, base->sites(), base->content_digest(), at::kFloat},
                                      {config.lora, config.train, config.gate, config.cluster.ranks_per_expert}, task);
  return train_expert(*base, task, recipe, group, {}, {});
}

TEST(Device, RanksMakeEqualBits) {
  const auto self = make_self();
  const ExpertResult alone = train_with(*self, -1);
  for (const int ranks : {2, 3, 4, 8}) {
    test::FakeNccl fake({.init_polls = 1, .start_polls = 1});
    test::run_with_nccl(ranks, fake, test::fake_options(), [&](Communicator& group) {
      const ExpertResult done = train_with(group, -1);
      EXPECT_TRUE(at::equal(done.lora, alone.lora));
      EXPECT_TRUE(at::equal(done.gate, alone.gate));
      EXPECT_EQ(done.metrics, alone.metrics);
    });
    EXPECT_GE(fake.groups(), ranks * 2 * (6 + 3)) << "an exchange to the owners and one back in every step";
    EXPECT_EQ(fake.aborts(), 0);
  }
}

TEST(Device, AFailingRankTellsItBeforeDataMoves) {
  test::FakeNccl fake;
  test::run_with_nccl(3, fake, test::fake_options(), [&](Communicator& group) {
    std::string error;
    try {
      train_with(group, group.rank() == 1 ? 5 : -1);
    } catch (const SystemError& failure) {
      error = failure.what();
    }
    EXPECT_EQ(error, group.rank() == 1 ? "out of memory"
                                       : "rank 1 of the group failed in this step; its own message says why");
  });
  EXPECT_EQ(fake.aborts(), 0);
}

}  // namespace
}  // namespace gaggle
