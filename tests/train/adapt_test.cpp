// Adaptation to a new task: what each method trains, from where, and under which key.
#include "train/adapt.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "fake_base.h"

namespace gaggle::adapted {
namespace {

constexpr std::array all_methods = {AdaptMethod::full,    AdaptMethod::z,      AdaptMethod::mu_collapsed,
                                    AdaptMethod::mu_kept, AdaptMethod::random, AdaptMethod::shared,
                                    AdaptMethod::lora};

Config adapt_config() {
  Config config;
  config.adapt.steps = 6;
  config.adapt.batch_size = 4;
  config.adapt.lr = 0.05;
  config.lora.init_std = 0.3;
  config.train.tokens_per_microbatch = 9;
  return config;
}

// Three tasks, `skills` skills, every tensor drawn: B too, as after a pretraining.
Inventory made_inventory(const FakeBase& base, const std::string& method = "poly", int64_t skills = 3) {
  Inventory inventory;
  inventory.spec.sites = lora_sites(base.sites(), {}, 2, 1);
  inventory.spec.tasks = 3;
  inventory.spec.skills = skills;
  if (method == "shared") inventory.spec.routing = Routing::uniform;
  if (method == "private") inventory.spec.routing = Routing::one_hot;
  inventory.name = method;
  inventory.version = "v0001";
  inventory.digest = "digest of " + method;
  inventory.method = method;
  inventory.tasks = {"a", "b", "c"};
  at::manual_seed(7);
  inventory.values = at::randn({poly_layout(inventory.spec).size()}) * 0.3;
  return inventory;
}

StepSettings one_lane() {
  StepSettings settings;
  settings.tokens_per_microbatch = 100;
  return settings;
}

struct Adapting {
  FakeBase base;
  TokenTask task = fake_task();
  Inventory from = made_inventory(base), shared = made_inventory(base, "shared", 1);
  AdaptSources sources{&from, &shared};
  Config config = adapt_config();

  AdaptRecipe recipe(AdaptMethod method, int64_t shots = 8, uint64_t seed = 5) const {
    return adapt_recipe({config.run.seed, base.sites(), base.content_digest(), at::kFloat},
                        {config.lora, config.train, config.poly, config.adapt}, sources, few_shot(task, shots, seed),
                        method, shots, seed);
  }
  at::Tensor values(AdaptMethod method) {
    const auto self = make_self();
    return train_adapted(base, few_shot(task, 8, 5), recipe(method), sources, *self, {}, {}).values;
  }
  // Mean nll of the few examples with a LoRA of the recipe's sites.
  double loss(const AdaptRecipe& recipe, const at::Tensor& lora) {
    LoraAdapter adapter(recipe.spec.sites, {lora}, at::kFloat, at::kCPU);
    const TokenTask few = few_shot(task, 8, 5);
    const auto self = make_self();
    return mean_losses(base, &adapter, {&few}, Split::train, one_lane(), *self)[0];
  }
};

TEST(FewShot, ExamplesAreTheSameForEveryMethodAndGrowWithTheShots) {
  const TokenTask task = fake_task();
  const auto inputs = [&](int64_t shots, uint64_t seed) {
    std::vector<std::vector<int32_t>> inputs_of_few;
    const TokenTask few = few_shot(task, shots, seed);
    for (const TokenExample& example : few.examples(Split::train)) inputs_of_few.push_back(example.input);
    return inputs_of_few;
  };
  EXPECT_EQ(inputs(4, 1).size(), 4u);
  EXPECT_EQ(inputs(4, 1), inputs(4, 1));
  EXPECT_NE(inputs(4, 1), inputs(4, 2));
  EXPECT_EQ(inputs(0, 1), inputs(19, 1));
  const auto few = inputs(4, 1), more = inputs(9, 1);
  for (const auto& example : few) EXPECT_NE(std::find(more.begin(), more.end(), example), more.end());
  EXPECT_TRUE(few_shot(task, 4, 1).examples(Split::validation).empty());
}

TEST(FewShot, TooFewExamplesAreRefusedWithTheNumbers) {
  try {
    few_shot(fake_task(), 20, 0);
    FAIL();
  } catch (const UserError& error) {
    for (const char* word : {"fake", "19", "20"})
      EXPECT_NE(std::string(error.what()).find(word), std::string::npos) << error.what();
  }
}

TEST(Adapt, ZTrainsTheRoutingRowAndNothingElse) {
  Adapting a;
  const AdaptRecipe recipe = a.recipe(AdaptMethod::z);
  const ParameterLayout layout = poly_layout(recipe.spec), theirs = poly_layout(a.from.spec);
  const at::Tensor start = adapt_start(recipe, a.sources), end = a.values(AdaptMethod::z);
  EXPECT_EQ(recipe.trained(), 2 * 3);  // two sites, one head, three skills
  for (const ParameterInfo& tensor : layout.tensors()) {
    const at::Tensor before = layout.view(start, tensor), after = layout.view(end, tensor);
    if (is_router(tensor)) {
      EXPECT_EQ(before.size(0), 1);
      EXPECT_LT(before.abs().max().item<double>(), 1.1e-3);
      EXPECT_GT((after - before).abs().max().item<double>(), 1e-3) << tensor.name;
    } else {
      EXPECT_TRUE(at::equal(after, theirs.view(a.from.values, tensor.name))) << tensor.name;
    }
  }
}

TEST(Adapt, FullTrainsRoutingRowAndSkillsFromTheInventory) {
  Adapting a;
  const AdaptRecipe recipe = a.recipe(AdaptMethod::full);
  const ParameterLayout layout = poly_layout(recipe.spec);
  const at::Tensor start = adapt_start(recipe, a.sources), end = a.values(AdaptMethod::full);
  EXPECT_EQ(recipe.trained(), layout.size());
  EXPECT_TRUE(at::equal(start, adapt_start(a.recipe(AdaptMethod::z), a.sources)));
  for (const ParameterInfo& tensor : layout.tensors())
    EXPECT_FALSE(at::equal(layout.view(start, tensor), layout.view(end, tensor))) << tensor.name;
  EXPECT_LT(a.loss(recipe, adapted_mixture(recipe, end)), a.loss(recipe, adapted_mixture(recipe, start)));
}

TEST(Adapt, RandomHasTheShapeOfFullButNotItsSkills) {
  Adapting a;
  const AdaptRecipe random = a.recipe(AdaptMethod::random), full = a.recipe(AdaptMethod::full);
  EXPECT_EQ(random.trained(), full.trained());
  EXPECT_TRUE(at::equal(adapt_start(random, a.sources), initial_poly(random.spec, 5)));
  EXPECT_FALSE(at::allclose(adapt_start(random, a.sources), adapt_start(full, a.sources)));
  EXPECT_EQ(adapted_mixture(random, adapt_start(random, a.sources)).numel(), lora_layout(random.spec.sites).size());
}

TEST(Adapt, CollapsedAndKeptBeginAlikeAndPartUnderARelativeRate) {
  Adapting a;
  a.config.train.optimizer = "adafactor";
  a.config.train.scale_parameter = true;
  const AdaptRecipe collapsed = a.recipe(AdaptMethod::mu_collapsed), kept = a.recipe(AdaptMethod::mu_kept);
  EXPECT_EQ(kept.trained(), 3 * collapsed.trained());
  const auto served = [&](const AdaptRecipe& r, const at::Tensor& values) { return adapted_mixture(r, values); };
  const at::Tensor first = served(collapsed, adapt_start(collapsed, a.sources));
  EXPECT_TRUE(at::allclose(first, served(kept, adapt_start(kept, a.sources)), 1e-5, 1e-6));
  EXPECT_TRUE(at::equal(first, averaged_skills(a.from.spec, a.from.values)));
  const at::Tensor one = served(collapsed, a.values(AdaptMethod::mu_collapsed)),
                   other = served(kept, a.values(AdaptMethod::mu_kept));
  EXPECT_FALSE(at::allclose(one, first, 1e-3, 1e-3));
  EXPECT_FALSE(at::allclose(one, other, 1e-3, 1e-3));
}

// Each of the K skills has 1/K of the average's gradient, which Adam does not see: all move as it does.
TEST(Adapt, CollapsedAndKeptStayTogetherUnderAdamWithoutClipping) {
  Adapting a;
  a.config.train.clip = 0;
  const at::Tensor kept = adapted_mixture(a.recipe(AdaptMethod::mu_kept), a.values(AdaptMethod::mu_kept));
  EXPECT_TRUE(at::allclose(kept, a.values(AdaptMethod::mu_collapsed), 1e-4, 1e-4));
}

TEST(Adapt, KeptIsOneFunctionWithItsAverageAtTheStart) {
  Adapting a;
  const AdaptRecipe kept = a.recipe(AdaptMethod::mu_kept);
  const at::Tensor start = adapt_start(kept, a.sources);
  PolyAdapter poly(kept.spec, start, kept.routing, at::kFloat, at::kCPU);
  poly.begin_evaluation();
  const TokenTask few = few_shot(a.task, 8, 5);
  const auto self = make_self();
  EXPECT_NEAR(mean_losses(a.base, &poly, {&few}, Split::train, one_lane(), *self)[0],
              a.loss(kept, averaged_skills(a.from.spec, a.from.values)), 1e-5);
}

TEST(Adapt, OneSkillIsALora) {
  Adapting a;
  a.from = made_inventory(a.base, "poly", 1);
  const at::Tensor kept = a.values(AdaptMethod::mu_kept), collapsed = a.values(AdaptMethod::mu_collapsed);
  EXPECT_TRUE(at::allclose(adapted_mixture(a.recipe(AdaptMethod::mu_kept), kept), collapsed, 1e-4, 1e-5));
  const at::Tensor full = a.values(AdaptMethod::full);
  EXPECT_TRUE(at::allclose(adapted_mixture(a.recipe(AdaptMethod::full), full), collapsed, 1e-4, 1e-5));
  // There is nothing to route.
  const AdaptRecipe z = a.recipe(AdaptMethod::z);
  EXPECT_TRUE(at::allclose(adapted_mixture(z, a.values(AdaptMethod::z)), averaged_skills(a.from.spec, a.from.values)));
}

TEST(Adapt, SharedStartsFromTheOneLoraAndLoraFromNothing) {
  Adapting a;
  const AdaptRecipe shared = a.recipe(AdaptMethod::shared), lora = a.recipe(AdaptMethod::lora);
  EXPECT_TRUE(at::equal(adapt_start(shared, a.sources), averaged_skills(a.shared.spec, a.shared.values)));
  EXPECT_TRUE(at::equal(adapt_start(lora, a.sources), initial_lora(lora.spec.sites, 5, 0.3)));
  EXPECT_EQ(lora.spec.sites[0].scale, 0.5);  // 1/r
  EXPECT_EQ(shared.trained(), lora.trained());
}

TEST(Adapt, ItsRatesAreThoseOfTheConfig) {
  Adapting a;
  a.config.adapt.router_lr = 0.2;
  EXPECT_DOUBLE_EQ(a.recipe(AdaptMethod::z).phase.schedule.lr, 0.2);
  EXPECT_DOUBLE_EQ(a.recipe(AdaptMethod::full).phase.schedule.lr, 0.05);
  EXPECT_DOUBLE_EQ(a.recipe(AdaptMethod::full).phase.step.optimizer.router_rate, 0.2 / 0.05);
  EXPECT_DOUBLE_EQ(a.recipe(AdaptMethod::mu_kept).phase.schedule.lr, 0.05);
  a.config.adapt.lr.reset();
  EXPECT_DOUBLE_EQ(a.recipe(AdaptMethod::lora).phase.schedule.lr, 1e-3);
  a.config.train.lr = 0.007;
  EXPECT_DOUBLE_EQ(a.recipe(AdaptMethod::lora).phase.schedule.lr, 0.007);
}

TEST(Adapt, KeysFollowWhatChangesTheResult) {
  Adapting a;
  std::set<std::string> keys;
  for (const AdaptMethod method : all_methods) keys.insert(a.recipe(method).key);
  EXPECT_EQ(keys.size(), all_methods.size());
  const std::string full = a.recipe(AdaptMethod::full).key, random = a.recipe(AdaptMethod::random).key,
                    lora = a.recipe(AdaptMethod::lora).key;
  EXPECT_NE(a.recipe(AdaptMethod::full, 9).key, full);
  EXPECT_NE(a.recipe(AdaptMethod::full, 8, 6).key, full);
  a.from.digest = "another";
  EXPECT_NE(a.recipe(AdaptMethod::full).key, full);
  EXPECT_EQ(a.recipe(AdaptMethod::random).key, random);  // it does not look at the skills
  EXPECT_EQ(a.recipe(AdaptMethod::lora).key, lora);
  a.from.digest = "digest of poly";
  for (const auto& change : std::vector<std::function<void(Config&)>>{
           [](Config& c) { c.adapt.steps = 7; }, [](Config& c) { c.adapt.batch_size = 5; },
           [](Config& c) { c.adapt.lr = 0.01; }, [](Config& c) { c.adapt.router_lr = 0.01; },
           [](Config& c) { c.adapt.loss = "tfew"; }, [](Config& c) { c.train.optimizer = "adafactor"; },
           [](Config& c) { c.poly.sample = "task"; }, [](Config& c) { c.train.lanes = 2; }}) {
    const Config before = a.config;
    change(a.config);
    EXPECT_NE(a.recipe(AdaptMethod::full).key, full);
    a.config = before;
  }
  // What adaptation does not look at.
  a.config.train.steps = 99, a.config.train.batch_size = 99, a.config.train.keep = "best", a.config.poly.skills = 99;
  a.config.run.seed = 99, a.config.adapt.seeds = 9;
  EXPECT_EQ(a.recipe(AdaptMethod::full).key, full);
}

TEST(Adapt, InventoriesThatDoNotServeAMethodAreRefused) {
  const auto complaint = [](const Adapting& a, AdaptMethod method) -> std::string {
    try {
      a.recipe(method);
    } catch (const UserError& error) {
      return error.what();
    }
    return "";
  };
  Adapting a;
  a.sources = {nullptr, nullptr};
  EXPECT_NE(complaint(a, AdaptMethod::z).find("adapt.from"), std::string::npos);
  EXPECT_NE(complaint(a, AdaptMethod::shared).find("adapt.shared_from"), std::string::npos);
  EXPECT_NE(complaint(a, AdaptMethod::lora).find("adapt.from"), std::string::npos);
  a.sources = {&a.shared, &a.from};
  EXPECT_NE(complaint(a, AdaptMethod::full).find("\"shared\""), std::string::npos);
  EXPECT_NE(complaint(a, AdaptMethod::shared).find("\"poly\""), std::string::npos);
  EXPECT_EQ(complaint(a, AdaptMethod::lora), "");
  a.sources = {nullptr, &a.shared};
  EXPECT_EQ(complaint(a, AdaptMethod::lora), "");  // its shape is the shared one's
}

TEST(Adapt, StoppedAnywhereItGoesOnToTheSameBits) {
  for (const AdaptMethod method : all_methods) {
    Adapting a;
    const at::Tensor whole = a.values(method);
    for (int stop_at = 1; stop_at < 6; ++stop_at) {
      const auto folder = std::filesystem::temp_directory_path() / "gaggle_adapt_stopped";
      std::filesystem::remove_all(folder);
      std::filesystem::create_directories(folder);
      const auto self = make_self();
      const TokenTask few = few_shot(a.task, 8, 5);
      const AdaptRecipe recipe = a.recipe(method);
      SnapshotWriter writer(folder, recipe.key, 1);
      LoopHooks hooks;
      hooks.snapshots = &writer;
      int asked = 0;
      hooks.stop = [&] { return ++asked == stop_at ? std::optional(Exit::resumable) : std::nullopt; };
      EXPECT_THROW(train_adapted(a.base, few, recipe, a.sources, *self, hooks, {folder}), StopRequested);
      const at::Tensor second = train_adapted(a.base, few, recipe, a.sources, *self, {}, {folder}).values;
      EXPECT_TRUE(at::equal(second, whole)) << method_name(method) << " stopped at " << stop_at;
      std::filesystem::remove_all(folder);
    }
  }
}

}  // namespace
}  // namespace gaggle::adapted
