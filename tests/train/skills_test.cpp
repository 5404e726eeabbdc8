// Multi-task training of an inventory of skills: equal bits on any number of ranks and from any interruption,
// also into a run that averages from some step on.
#include "train/skills.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <mutex>
#include <thread>

#include "../model/fake_checkpoint.h"
#include "base/error.h"
#include "base/pulse.h"
#include "fake_base.h"

namespace gaggle::skills_run {
namespace {

namespace fs = std::filesystem;

Config small_config(const std::string& sample = "example", const std::string& optimizer = "adamw",
                    const std::string& combine = "sum") {
  Config config;
  config.poly.method = "mhr";
  config.poly.skills = 3, config.poly.heads = 4, config.poly.rank = 2;
  config.poly.sample = sample;
  config.poly.router_lr = 0.3;
  config.train.steps = 7;
  config.train.batch_size = 13;
  config.train.lr = 0.02;
  config.train.optimizer = optimizer;
  config.train.scale_parameter = optimizer == "adafactor";
  config.train.combine = combine;
  config.train.weight_decay = 0.1;
  config.train.clip = 0.05;  // always at work
  config.train.tokens_per_microbatch = 6;
  config.train.validate_every = 2;
  config.train.keep = "best";
  return config;
}

struct Setting {
  FakeCheckpoint checkpoint;
  LlamaModel base{checkpoint, at::kFloat, at::kCPU, BaseUse::training};
  std::vector<TokenTask> tasks = fake_tasks();
  SkillsRecipe recipe;
  explicit Setting(const Config& config)
      : recipe(skills_recipe({config.run.seed, base.sites(), "fake", at::kFloat},
                             {config.data, config.lora, config.train, config.poly}, tasks, /*lanes=*/8)) {}
};

SkillsResult train(const Config& config, Communicator& group, const LoopHooks& hooks = {},
                   const fs::path& folder = "nowhere") {
  Setting s(config);
  PolyAdapter adapter(s.recipe.spec, s.recipe.start, s.recipe.schedule, at::kFloat, at::kCPU);
  return train_skills(s.base, s.tasks, s.recipe, adapter, group, hooks, folder);
}

SkillsResult train_alone(const Config& config, const LoopHooks& hooks = {}, const fs::path& folder = "nowhere") {
  return train(config, *make_self(), hooks, folder);
}

// nullopt: the run was stopped, which every rank is told.
using Outcome = std::optional<SkillsResult>;

// The first rank's result; all have the same.
Outcome train_until_stopped(int ranks, const Config& config, const LoopHooks& hooks = {},
                            const fs::path& folder = "nowhere") {
  std::mutex mutex;
  std::vector<Outcome> results(static_cast<size_t>(ranks));
  run_as_threads(ranks, 60, [&](Communicator& group) {
    LoopHooks mine = hooks;
    if (group.rank() > 0) mine.snapshots = nullptr, mine.on_step = nullptr;
    Outcome done;
    try {
      done = train(config, group, mine, folder);
    } catch (const StopRequested& asked) {
      EXPECT_EQ(asked.code, Exit::resumable);
    }
    const std::lock_guard lock(mutex);
    results[static_cast<size_t>(group.rank())] = std::move(done);
  });
  for (const Outcome& result : results) {
    EXPECT_EQ(result.has_value(), results[0].has_value());
    if (!result || !results[0]) continue;
    EXPECT_EQ(result->metrics, results[0]->metrics);
    EXPECT_TRUE(at::equal(result->values, results[0]->values));
  }
  return results[0];
}

SkillsResult train_on(int ranks, const Config& config, const LoopHooks& hooks = {},
                      const fs::path& folder = "nowhere") {
  return train_until_stopped(ranks, config, hooks, folder).value();
}

void expect_equal(const SkillsResult& a, const SkillsResult& b, const std::string& what) {
  EXPECT_TRUE(at::equal(a.values, b.values)) << what;
  EXPECT_EQ(a.metrics, b.metrics) << what;
}

struct Folder {
  fs::path path = fs::temp_directory_path() /
                  ("gaggle_skills_" + std::string(testing::UnitTest::GetInstance()->current_test_info()->name()));
  Folder() { fs::remove_all(path), fs::create_directories(path); }
  ~Folder() { fs::remove_all(path); }
};

// Runs on `ranks` until `stop_at` steps are done; its checkpoint lies in the folder.
void stop_after(int64_t stop_at, int ranks, const Config& config, const Folder& folder) {
  const std::string key = Setting(config).recipe.key;
  SnapshotWriter writer(checkpoints_of_key(folder.path, key), key, 1);
  LoopHooks hooks;
  hooks.snapshots = &writer;
  int64_t asked = 0;
  hooks.stop = [&]() -> std::optional<Exit> {
    if (current_pulse().phase.ends_with("validation")) return std::nullopt;
    return ++asked == stop_at ? std::optional(Exit::resumable) : std::nullopt;
  };
  EXPECT_FALSE(train_until_stopped(ranks, config, hooks, folder.path));
}

// The first rank's clock decides, and all ranks write together; bits do not know of it. Step 2 takes 3 s.
TEST(Skills, CheckpointsByTheClock) {
  const Config config = small_config();
  const SkillsResult whole = train_alone(config);
  const std::vector<std::pair<double, int>> expected = {{0, 6}, {3, 1}, {3600, 0}};  // after the last step none
  for (const auto& [seconds, checkpoints] : expected) {
    const Folder folder;
    const std::string key = Setting(config).recipe.key;
    SnapshotWriter writer(checkpoints_of_key(folder.path, key), key, 100);
    LoopHooks hooks;
    hooks.snapshots = &writer;
    hooks.checkpoint_every = {0, seconds == 0 ? 1e-9 : seconds / 60};
    hooks.on_step = [&](const StepReport& r) {
      if (seconds == 3 && r.step == 2) std::this_thread::sleep_for(std::chrono::seconds(3));
    };
    expect_equal(train_on(2, config, hooks, folder.path), whole, fmt::format("{} s", seconds));
    writer.wait();
    const auto entries = fs::recursive_directory_iterator(folder.path);
    const auto written = std::count_if(
        begin(entries), end(entries), [](const auto& entry) { return entry.path().filename() == "state.safetensors"; });
    EXPECT_EQ(written, checkpoints) << seconds << " s";
  }
}

using ReportedSteps = std::vector<std::pair<int64_t, std::optional<double>>>;

auto note(ReportedSteps& lines) {
  return [&](const StepReport& r) {
    while (!lines.empty() && lines.back().first >= r.step) lines.pop_back();  // as metrics.jsonl is read
    lines.emplace_back(r.step, r.validation_loss);
  };
}

// Asked to stop at any look, also in the middle of a validation, and once more a little later: bits, best step
// and the steps reported are those of a run that nobody stopped.
TEST(Skills, AStopInsideAValidationLosesNothing) {
  const Config config = small_config();
  ReportedSteps undisturbed;
  LoopHooks plain;
  plain.on_step = note(undisturbed);
  const SkillsResult whole = train_alone(config, plain);
  int64_t inside = 0;
  for (const int ranks : {1, 3})
    for (int64_t stop_at = 1;; ++stop_at) {
      const Folder folder;
      const std::string key = Setting(config).recipe.key;
      SnapshotWriter writer(checkpoints_of_key(folder.path, key), key, 1);
      ReportedSteps lines;
      int64_t looks = 0, last = stop_at;
      bool validating = false;
      LoopHooks hooks;
      hooks.snapshots = &writer;
      hooks.checkpoint_at_end = true;
      hooks.on_step = note(lines);
      hooks.stop = [&]() -> std::optional<Exit> {
        if (++looks != last) return std::nullopt;
        validating = current_pulse().phase.ends_with("validation");
        return Exit::resumable;
      };
      Outcome result = train_until_stopped(ranks, config, hooks, folder.path);
      if (looks < stop_at) break;  // it had no more looks
      inside += validating;
      writer.wait();
      if (validating) {
        looks = 0, last = 7;
        result = train_until_stopped(ranks, config, hooks, folder.path);
      }
      writer.wait();
      LoopHooks again;
      again.on_step = note(lines);
      if (!result) result = train_on(4 - ranks, config, again, folder.path);
      expect_equal(*result, whole, fmt::format("{} ranks, stopped at look {}", ranks, stop_at));
      EXPECT_EQ(lines, undisturbed) << ranks << " ranks, stopped at look " << stop_at;
    }
  EXPECT_GT(inside, 5);
}

TEST(Skills, LearnsEveryTask) {
  Config config = small_config("none");
  config.train.steps = 30;
  const SkillsResult done = train_alone(config);
  const auto &before = done.metrics["base_loss_by_task"], &after = done.metrics["validation_loss_by_task"];
  EXPECT_EQ(before.size(), 2u);  // of three: one has no validation examples
  for (const auto& [task, loss] : before.items())
    EXPECT_LT(after[task].get<double>(), 0.9 * loss.get<double>()) << task;
  EXPECT_DOUBLE_EQ(done.metrics["validation_loss"].get<double>(),
                   (after["task a"].get<double>() + after["task b"].get<double>()) / 2);
  EXPECT_TRUE(done.metrics.contains("best_step"));
}

struct Mode {
  const char *sample, *optimizer, *combine = "sum";
};
class SkillsBits : public testing::TestWithParam<Mode> {
 protected:
  SkillsBits() { config.train.lr = -0.02; }  // uphill: the best lies early
  Config config = small_config(GetParam().sample, GetParam().optimizer, GetParam().combine);
};

TEST_P(SkillsBits, AreTheSameOnAnyNumberOfRanks) {
  config.train.lr = 0.02;
  const SkillsResult alone = train_alone(config);
  EXPECT_GT((alone.values - Setting(config).recipe.start).norm().item<float>(), 0.1);
  for (const int ranks : {2, 3, 4, 8}) expect_equal(train_on(ranks, config), alone, fmt::format("{} ranks", ranks));
}

TEST_P(SkillsBits, AreTheSameFromAnyInterruptionOnOtherRanks) {
  const SkillsResult whole = train_alone(config);
  EXPECT_LT(whole.metrics["best_step"].get<int64_t>(), 6);
  for (int64_t stop_at = 1; stop_at < 7; ++stop_at) {
    const Folder folder;
    const int before = static_cast<int>(stop_at % 3) + 1, after = 4 - before;
    stop_after(stop_at, before, config, folder);
    int64_t steps = 0;
    LoopHooks hooks;
    hooks.on_step = [&](const StepReport& r) {
      steps = r.step;
      EXPECT_GT(r.step, stop_at);
    };
    expect_equal(train_on(after, config, hooks, folder.path), whole,
                 fmt::format("{} ranks until {}, then {}", before, stop_at, after));
    EXPECT_EQ(steps, 7);
  }
}

INSTANTIATE_TEST_SUITE_P(Modes, SkillsBits,
                         testing::Values(Mode{"example", "adamw"}, Mode{"task", "adafactor"}, Mode{"none", "adafactor"},
                                         Mode{"none", "adamw", "upgrad"}, Mode{"task", "adafactor", "pcgrad"},
                                         Mode{"example", "adamw", "upgrad"}),
                         [](const auto& info) {
                           const Mode& m = info.param;
                           return fmt::format("{}_{}_{}", m.sample, m.optimizer, m.combine);
                         });

TEST(Skills, AveragingContinuesThePlainRun) {
  Config config = small_config("task");
  config.train.keep = "last";
  Config averaging = config;
  averaging.poly.average_from = 4;
  const SkillsResult whole = train_alone(averaging), plain = train_alone(config);
  EXPECT_FALSE(at::equal(whole.values, plain.values));
  for (const int64_t stop_at : {2, 4, 5}) {
    const Folder folder;
    stop_after(stop_at, 2, config, folder);
    int64_t first = 0;
    LoopHooks hooks;
    hooks.on_step = [&](const StepReport& r) { first = first == 0 ? r.step : first; };
    expect_equal(train_on(1, averaging, hooks, folder.path), whole, fmt::format("from step {}", stop_at));
    // A checkpoint of a step that the averaging run routes otherwise is not its own.
    EXPECT_EQ(first, stop_at <= 4 ? stop_at + 1 : 1);
  }
}

// Steps are done, but the commit is not: nothing is left to train, and the report is the same.
TEST(Skills, AFinishedRunReportsTheSameAgain) {
  for (const std::string keep : {"last", "best"})
    for (const int64_t average_from : {0, 4}) {
      const Folder folder;
      Config config = small_config("task");
      config.train.keep = keep;
      config.poly.average_from = average_from;
      const std::string key = Setting(config).recipe.key;
      SnapshotWriter writer(checkpoints_of_key(folder.path, key), key, 1);
      LoopHooks hooks;
      hooks.snapshots = &writer;
      hooks.checkpoint_at_end = true;
      const SkillsResult whole = train_alone(config, hooks, folder.path);
      writer.wait();
      hooks.on_step = [](const StepReport&) { FAIL(); };
      expect_equal(train_alone(config, hooks, folder.path), whole, fmt::format("{} {}", keep, average_from));
    }
}

TEST(Skills, ACheckpointOfAnotherRunIsLeftAlone) {
  const Folder folder;
  const Config config = small_config();
  Config other = config;
  other.poly.skills = 4;
  stop_after(3, 1, other, folder);
  const fs::path other_folder = checkpoints_of_key(folder.path, Setting(other).recipe.key),
                 this_folder = checkpoints_of_key(folder.path, Setting(config).recipe.key);
  EXPECT_NE(other_folder, this_folder);
  fs::rename(other_folder, this_folder);
  expect_equal(train_alone(config, {}, folder.path), train_alone(config), "from the start");
}

TEST(Skills, ACheckpointOfOtherShapesIsRefused) {
  const Folder folder;
  const Config config = small_config();
  stop_after(3, 1, config, folder);
  const std::string key = Setting(config).recipe.key;
  const fs::path checkpoints = checkpoints_of_key(folder.path, key);
  Snapshot changed = *newest_snapshot({checkpoints}, key);
  for (auto& [name, tensor] : changed.tensors)
    if (name.ends_with("layers.0.self_attn.q_proj.poly_lora_A")) tensor = at::zeros({4, 3, 12, 3});
  changed.step = 4;
  SnapshotWriter writer(checkpoints, key, 1);
  writer.write(changed);
  writer.wait();
  try {
    train_alone(config, {}, folder.path);
    FAIL();
  } catch (const std::exception& error) {
    EXPECT_NE(std::string(error.what()).find("q_proj.poly_lora_A has other sizes"), std::string::npos) << error.what();
  }
}

TEST(Skills, KeyFollowsWhatChangesTheResultAndNothingElse) {
  const Config config = small_config();
  const std::string key = Setting(config).recipe.key;
  EXPECT_EQ(Setting(config).recipe.plain_key, "");
  Config other = config;
  other.checkpoint.every = {1, 0}, other.run.dir = "elsewhere", other.alignment.every = 3, other.run.threads = 2;
  EXPECT_EQ(Setting(other).recipe.key, key);
  for (const auto& change : std::vector<std::function<void(Config&)>>{
           [](Config& c) { c.poly.skills = 2; }, [](Config& c) { c.poly.heads = 2; },
           [](Config& c) { c.poly.rank = 1; }, [](Config& c) { c.poly.sample = "none"; },
           [](Config& c) { c.poly.temperature = 2; }, [](Config& c) { c.poly.router_lr = 0.1; },
           [](Config& c) { c.poly.router_granularity = "layer"; }, [](Config& c) { c.poly.average_last_steps = 2; },
           [](Config& c) { c.poly.average_from = 2; }, [](Config& c) { c.poly.method = "shared"; },
           [](Config& c) { c.poly.method = "private"; }, [](Config& c) { c.data.sampling = "uniform"; },
           [](Config& c) { c.run.seed = 1; }, [](Config& c) { c.train.label_smoothing = 0.1; },
           [](Config& c) { c.train.optimizer = "adafactor"; }, [](Config& c) { c.train.combine = "upgrad"; },
           [](Config& c) { c.train.combine = "pcgrad"; }}) {
    Config changed = config;
    change(changed);
    EXPECT_NE(Setting(changed).recipe.key, key);
  }
  other = config;
  other.poly.average_from = 2;
  EXPECT_EQ(Setting(other).recipe.plain_key, key);

  // Rows of the table belong to tasks by their order.
  const Setting s(config);
  std::vector<TokenTask> turned = {s.tasks[1], s.tasks[0], s.tasks[2]};
  EXPECT_NE(skills_recipe({config.run.seed, s.base.sites(), "fake", at::kFloat},
                          {config.data, config.lora, config.train, config.poly}, turned, 8)
                .key,
            key);
}

TEST(MixedBatch, OccurrenceCountsTheSamplesOfATaskBefore) {
  const std::vector<TokenTask> tasks = fake_tasks();
  std::vector<const TokenTask*> list;
  std::vector<int64_t> example_counts;
  for (const TokenTask& task : tasks) {
    list.push_back(&task);
    example_counts.push_back(static_cast<int64_t>(task.examples(Split::train).size()));
  }
  TaskMix mix(3, {"a", "b", "c"}, example_counts, {"size"});
  for (const int64_t step : {0, 1, 5}) {
    const std::vector<Sample> batch = mixed_batch(mix, list, step, 20);
    ASSERT_EQ(batch.size(), 20u);
    std::map<int, int64_t> seen;
    for (size_t i = 0; i < batch.size(); ++i) {
      EXPECT_EQ(batch[i].global_index, step * 20 + static_cast<int64_t>(i));
      EXPECT_EQ(batch[i].occurrence, seen[batch[i].task]++);
      const Draw draw = mix.draw(batch[i].global_index);
      EXPECT_EQ(batch[i].task, draw.task);
      EXPECT_EQ(batch[i].example,
                &list[static_cast<size_t>(draw.task)]->examples(Split::train)[static_cast<size_t>(draw.example)]);
    }
    EXPECT_EQ(seen.size(), 3u);
  }
}

// The optimiser's state, as a checkpoint holds it: the same whoever owns it, and all of it comes back.
TEST(Trainer, StateIsTheSameOnAnyNumberOfRanksAndComesBack) {
  for (const std::string optimizer : {"adamw", "adafactor"}) {
    const Config config = small_config("none", optimizer);
    std::mutex mutex;
    at::Tensor alone;
    for (const int ranks : {1, 3}) {
      run_as_threads(ranks, 60, [&](Communicator& group) {
        Setting s(config);
        const TrainingData data = mixed_tasks(s.tasks, s.recipe.phase, s.recipe.mix);
        PolyAdapter adapter(s.recipe.spec, s.recipe.start, s.recipe.schedule, at::kFloat, at::kCPU);
        Trainer trainer(s.base, adapter, group, s.recipe.phase.step, 3);
        const auto step = [&](Trainer& by, int64_t n) {
          adapter.begin_step(n);
          by.step(data.batch(n), 0.02);
        };
        for (int64_t n = 0; n < 3; ++n) step(trainer, n);
        const Trainer::State state = trainer.state();
        EXPECT_EQ(state.updates, 3);
        EXPECT_EQ(state.flat.numel(), trainer.state_layout().size());
        for (const ParameterInfo& t : trainer.state_layout().tensors())
          EXPECT_GT(trainer.state_layout().view(state.flat, t).abs().max().item<float>(), 0) << t.name;
        {
          const std::lock_guard lock(mutex);
          if (ranks == 1) alone = state.flat.clone();
          EXPECT_TRUE(at::equal(state.flat, alone)) << optimizer;
        }
        Trainer again(s.base, adapter, group, s.recipe.phase.step, 3);
        again.restore({state.flat.clone(), state.updates, state.not_finite});
        EXPECT_TRUE(at::equal(again.state().flat, state.flat));
        const at::Tensor before = adapter.values().clone();
        step(trainer, 3);
        const at::Tensor after = adapter.values().clone();
        adapter.values().copy_(before);
        adapter.refresh();
        step(again, 3);
        EXPECT_TRUE(at::equal(adapter.values(), after)) << optimizer;
        EXPECT_TRUE(at::equal(again.state().flat, trainer.state().flat)) << optimizer;
      });
    }
  }
}

// A loss that is not a number on one rank: nobody makes the update, and training goes on.
TEST(Skills, ANonFiniteLossOnOneRankSkipsTheUpdateOnAll) {
  Config config = small_config("example");
  config.poly.heads = 1;
  config.train.keep = "last";
  const std::vector<TokenTask> tasks = fake_tasks();
  std::mutex mutex;
  for (const int bad_rank : {0, 2}) {
    std::vector<at::Tensor> values(4);
    testing::internal::CaptureStderr();
    run_as_threads(4, 60, [&](Communicator& group) {
      std::unique_ptr<FakeBase> base;
      {
        const std::lock_guard lock(mutex);  // its weights come from the global generator
        base = std::make_unique<FakeBase>();
      }
      const SkillsRecipe recipe = skills_recipe({config.run.seed, base->sites(), "fake", at::kFloat},
                                                {config.data, config.lora, config.train, config.poly}, tasks, 8);
      PolyAdapter adapter(recipe.spec, recipe.start, recipe.schedule, at::kFloat, at::kCPU);
      at::Tensor before;
      LoopHooks hooks;
      hooks.before_step = [&](int64_t step, std::span<const Sample>) {
        before = adapter.values().clone();
        if (step == 3 && group.rank() == bad_rank) base->fail_after = 1;
      };
      hooks.after_step = [&](const StepReport& report) {
        EXPECT_EQ(std::isnan(report.loss), report.step == 4);
        EXPECT_EQ(at::equal(before, adapter.values()), report.step == 4 || report.lr == 0);
      };
      const SkillsResult done = train_skills(*base, tasks, recipe, adapter, group, hooks, "nowhere");
      const std::lock_guard lock(mutex);
      values[static_cast<size_t>(group.rank())] = done.values;
    });
    const std::string said = testing::internal::GetCapturedStderr();
    EXPECT_NE(said.find("step 4: the loss or its gradient is not finite"), std::string::npos) << said;
    EXPECT_EQ(said.find("warning"), said.rfind("warning")) << said;  // one rank speaks for all
    for (const at::Tensor& of_rank : values) {
      EXPECT_TRUE(at::isfinite(of_rank).all().item<bool>());
      EXPECT_TRUE(at::equal(of_rank, values[0]));
    }
  }
}

}  // namespace
}  // namespace gaggle::skills_run
