// An expert's bits do not depend on the ranks that made it, nor on where it was interrupted.
#include "train/expert.h"

#include <gtest/gtest.h>

#include <mutex>

#include "small_expert.h"

namespace gaggle {
namespace {

TEST(Expert, LearnsAndItsGatesMove) {
  const ExpertResult done = train_small_expert(small_config());
  EXPECT_LT(done.metrics["validation_loss"].get<double>(), done.metrics["base_loss"].get<double>());
  EXPECT_GT(done.metrics["gate_norm"].get<double>(), 0);
  const double half_open = done.metrics["half_open_loss"].get<double>();
  EXPECT_GT(half_open, done.metrics["validation_loss"].get<double>());
  EXPECT_LT(half_open, done.metrics["base_loss"].get<double>());
}

// Nearly closed, they stand between the base and half open, and learn other gates; the LoRA does not know.
TEST(Expert, GatesBeginWhereTheirBiasSays) {
  const ExpertResult half = train_small_expert(small_config());
  Config config = small_config();
  config.gate.bias = -2;
  const ExpertResult nearly_closed = train_small_expert(config);
  const auto start = [](const ExpertResult& done) { return done.metrics["half_open_loss"].get<double>(); };
  EXPECT_GT(start(nearly_closed), start(half));
  EXPECT_LT(start(nearly_closed), half.metrics["base_loss"].get<double>());
  EXPECT_LT(nearly_closed.metrics["gated_loss"].get<double>(), start(nearly_closed));
  EXPECT_FALSE(at::equal(nearly_closed.gate, half.gate));
  EXPECT_TRUE(at::equal(nearly_closed.lora, half.lora));
}

TEST(Expert, RanksMakeEqualBits) {
  const ExpertResult alone = train_small_expert(small_config());
  for (const int ranks : {2, 3, 4, 8}) {
    std::mutex mutex;
    run_as_threads(ranks, 60, [&](Communicator& group) {
      std::unique_ptr<FakeBase> base;
      {
        const std::lock_guard lock(mutex);  // its weights come from the global generator
        base = std::make_unique<FakeBase>();
      }
      const TokenTask task = fake_task();
      const ExpertResult done = train_expert(*base, task, small_recipe(*base, task, small_config()), group, {}, {});
      const std::lock_guard lock(mutex);
      expect_equal(done, alone);
    });
  }
}

TEST(Expert, MoreRanksThanLanesAreRefused) {
  Config config = small_config();
  config.train.lanes = 1;
  config.cluster.ranks_per_expert = 2;
  EXPECT_THROW(small_recipe(FakeBase(), fake_task(), config), UserError);
}

TEST(Expert, StoppedAnywhereItGoesOnToTheSameBits) {
  const ExpertResult whole = train_small_expert(small_config());
  for (int stop_at = 1; stop_at < 24; ++stop_at) {
    const Folder folder;
    SnapshotWriter writer(folder.path, small_recipe(FakeBase(), fake_task(), small_config()).key, 1);
    LoopHooks hooks;
    hooks.snapshots = &writer;
    int asked = 0;
    hooks.stop = [&]() -> std::optional<Exit> {
      return ++asked == stop_at ? std::optional(Exit::resumable) : std::nullopt;
    };
    hooks.checkpoint_at_end = true;
    // The last step of a phase finishes it: then the request comes too late to matter here.
    try {
      expect_equal(train_small_expert(small_config(), hooks, {folder.path}), whole);
    } catch (const StopRequested& asked) {
      EXPECT_EQ(asked.code, Exit::resumable);
      expect_equal(train_small_expert(small_config(), {}, {folder.path}), whole);
    }
    writer.wait();
  }
}

TEST(Snapshots, TheNewestOfTheKeyThatIsCompleteAndReadableCounts) {
  const Folder folder;
  SnapshotWriter writer(folder.path, "k", 3);
  for (int step = 3; step <= 5; ++step) writer.write({0, step, {{"a", 1}}, {{"t", at::full({2}, 1.f * step)}}});
  writer.wait();
  EXPECT_EQ(newest_snapshot({folder.path}, "k")->step, 5);
  EXPECT_FALSE(newest_snapshot({folder.path}, "of another key"));
  std::filesystem::remove(folder.path / "0-00000005" / "COMPLETE");
  EXPECT_EQ(newest_snapshot({folder.path}, "k")->step, 4);
  std::filesystem::resize_file(folder.path / "0-00000004" / "state.safetensors", 40);
  const auto newest = newest_snapshot({folder.path}, "k");
  EXPECT_EQ(newest->step, 3);
  EXPECT_TRUE(at::equal(newest->tensors.at("t"), at::full({2}, 3.f)));
}

TEST(Expert, ANonFiniteLossSkipsTheUpdateAndFiveInARowEnd) {
  FakeBase base;
  const TokenTask task = fake_task();
  const auto self = make_self();
  const auto sites = lora_sites(base.sites(), {}, 2, 1);
  LoraAdapter adapter(sites, {initial_lora(sites, 0, 0.1)}, at::kFloat, at::kCPU);
  Trainer trainer(base, adapter, *self, {});
  TaskMix order(0, {task.name}, {static_cast<int64_t>(task.examples(Split::train).size())}, {});
  const auto batch = mixed_batch(order, {&task}, 0, 4);
  const at::Tensor before = adapter.values().clone();
  for (int i = 0; i < 4; ++i) {
    base.fail_after = 0;
    trainer.step(batch, 0.1);
  }
  EXPECT_TRUE(at::equal(before, adapter.values()));
  base.fail_after = 0;
  EXPECT_THROW(trainer.step(batch, 0.1), NotFinite);
}

// The values are as before those steps, but nothing says that they are any good.
TEST(Expert, APhaseThatEndsInStepsThatAreNotFiniteEndsIt) {
  for (const std::string keep : {"last", "best"}) {
    Config config = small_config();
    config.train.keep = keep;
    config.gate.steps = 0;
    FakeBase base;
    const TokenTask task = fake_task();
    const auto self = make_self();
    LoopHooks hooks;
    hooks.before_step = [&](int64_t step, std::span<const Sample>) {
      if (step == config.train.steps - 1) base.fail_after = 0;
    };
    const auto train = [&] { train_expert(base, task, small_recipe(base, task, config), *self, hooks, {}); };
    if (keep == "last")
      EXPECT_THROW(train(), NotFinite);
    else
      EXPECT_NO_THROW(train());  // the best values are of a step before
  }
}

TEST(Recipe, KeyFollowsWhatChangesTheResultAndNothingElse) {
  const FakeBase base;
  const TokenTask task = fake_task();
  const Config config = small_config();
  const std::string key = small_recipe(base, task, config).key;
  Config other = config;
  other.checkpoint.every = {1, 0}, other.run.dir = "elsewhere", other.report.tensorboard = false, other.run.threads = 3;
  EXPECT_EQ(small_recipe(base, task, other).key, key);
  for (const auto& change : std::vector<std::function<void(Config&)>>{
           [](Config& c) { c.train.lr = 0.021; }, [](Config& c) { c.run.seed = 1; },
           [](Config& c) { c.train.lanes = 4; }, [](Config& c) { c.gate.steps = 6; },
           [](Config& c) { c.lora.targets = {"up"}; }, [](Config& c) { c.lora.alpha = 2; },
           [](Config& c) { c.lora.rank = 2; }, [](Config& c) { c.lora.init_std = 0.5; },
           [](Config& c) { c.train.steps += 1; }, [](Config& c) { c.train.batch_size += 1; },
           [](Config& c) { c.train.warmup = 0.5; }, [](Config& c) { c.train.schedule = "linear"; },
           [](Config& c) { c.train.weight_decay = 0.5; }, [](Config& c) { c.train.clip = 0.5; },
           [](Config& c) { c.train.loss_average = "sum"; }, [](Config& c) { c.train.tokens_per_microbatch = 17; },
           [](Config& c) { c.gate.lr = 0.5; }, [](Config& c) { c.gate.warmup = 0.5; },
           [](Config& c) { c.gate.batch_size = 3; }}) {
    Config changed = config;
    change(changed);
    EXPECT_NE(small_recipe(base, task, changed).key, key);
  }
  other.train.lr = 0.001;
  EXPECT_EQ(difference_text(small_recipe(base, task, config).json, small_recipe(base, task, other).json),
            "train.lr 0.02 → 0.001");
  // A setting that came later: unset, it is not in the key.
  EXPECT_FALSE(small_recipe(base, task, config).json["gate"].contains("bias"));
  Config biased = config;
  biased.gate.bias = -2;
  EXPECT_EQ(difference_text(small_recipe(base, task, config).json, small_recipe(base, task, biased).json),
            "gate.bias none → -2.0");
}

TEST(Recipe, RefusesWhatItCannotExplain) {
  const FakeBase base;
  const TokenTask task = fake_task();
  Config config = small_config();
  config.train.lr.reset();
  EXPECT_THROW(small_recipe(base, task, config), UserError);  // alpha 3, and 5e-3 belongs to 1
  config = small_config();
  config.lora.targets = {"dwon"};
  try {
    small_recipe(base, task, config);
    FAIL();
  } catch (const UserError& error) {
    EXPECT_NE(std::string(error.what()).find("down"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace gaggle
