// (IA)³ and its Poly form: dl and dZ against finite differences of the loss in fp64, and the fast types against
// fp64. PEFT and PyTorch are asked in tests/train/test_ia3.py.
#include "adapter/ia3.h"

#include "adapter/routed.h"
#include "base/error.h"
#include "poly_case.h"

namespace gaggle {
namespace {

struct Ia3Case {
  int64_t heads, skills;
  Sampling sampling = Sampling::none;
  Routing routing = Routing::learned;
  std::vector<std::string> targets = {};
  bool qk_norm = false, bias = false;
  Granularity granularity = Granularity::site;
  int64_t step = 0;  // from 10 on routing goes over to uniform, until 20
  bool t5 = false;
};

void PrintTo(const Ia3Case& c, std::ostream* out) {
  *out << c.heads << " heads, " << c.skills << " skills, " << test::name_of(c.sampling) << ", " << c.targets.size()
       << " targets, step " << c.step << ", by " << name_of(c.granularity) << (c.t5 ? ", T5" : "");
}

PolySpec ia3_spec(const BaseModel& base, const Ia3Case& c) {
  PolySpec spec;
  spec.skill = SkillKind::rescaling;
  const bool all = c.targets == std::vector<std::string>{"all-linear"};
  spec.sites = all ? lora_sites(base.sites(), c.targets, 1, 1) : ia3_sites(base.sites(), c.targets);
  spec.heads = c.heads, spec.skills = c.skills, spec.tasks = 3;
  spec.routing = c.routing, spec.granularity = c.granularity;
  return spec;
}

// Vectors around 1, logits of 1.
at::Tensor random_ia3(const PolySpec& spec) {
  const at::Tensor values = test::random_poly(spec);
  const ParameterLayout layout = poly_layout(spec);
  for (const ParameterInfo& t : layout.tensors())
    if (!is_router(t)) layout.view(values, t).mul_(3).add_(1);
  return values;
}

class Ia3Gradient : public testing::TestWithParam<Ia3Case> {
 protected:
  RoutingSchedule schedule() const { return {GetParam().sampling, 0.7, 11, -1, 10, 20}; }
  std::unique_ptr<ModelCheckpoint> made() const {
    if (GetParam().t5) return std::make_unique<FakeT5>(GetParam().qk_norm);
    return std::make_unique<FakeCheckpoint>(0, GetParam().qk_norm, GetParam().bias);
  }
  const std::unique_ptr<ModelCheckpoint> checkpoint = made();
  const std::unique_ptr<BaseModel> loaded = load_base_model(*checkpoint, at::kDouble, at::kCPU, BaseUse::training);
  BaseModel& exact = *loaded;
  const PolySpec spec = ia3_spec(exact, GetParam());
  const std::vector<Microbatch> batches = test::two_batches(false, false, GetParam().t5);
};

TEST_P(Ia3Gradient, EqualsFiniteDifferencesOfEveryTensor) {
  Ia3Adapter adapter(spec, random_ia3(spec).to(at::kDouble), schedule(), at::kCPU);
  adapter.begin_step(GetParam().step);
  ASSERT_EQ(adapter.layout().size(), poly_layout(spec).size());
  test::expect_finite_differences(exact, adapter, batches);
}

TEST_P(Ia3Gradient, OfTheFastTypesFollowsFp64) {
  Ia3Adapter adapter(spec, random_ia3(spec).to(at::kDouble), schedule(), at::kCPU);
  adapter.begin_step(GetParam().step);
  const at::Tensor expected = test::gradient_of(exact, adapter, batches);
  for (const auto& [type, limit] : {std::pair{at::kFloat, 2e-5}, std::pair{at::kBFloat16, 0.1}}) {
    const auto base = load_base_model(*checkpoint, type, at::kCPU, BaseUse::training);
    Ia3Adapter fast(spec, random_ia3(spec), schedule(), at::kCPU);
    fast.begin_step(GetParam().step);
    const at::Tensor gradient = test::gradient_of(*base, fast, batches);
    EXPECT_EQ(gradient.scalar_type(), at::kFloat);
    EXPECT_LT(test::apart(gradient, expected), limit) << type;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Cases, Ia3Gradient,
    testing::Values(Ia3Case{1, 1, Sampling::none, Routing::uniform}, Ia3Case{1, 3}, Ia3Case{4, 3},
                    Ia3Case{4, 3, Sampling::task}, Ia3Case{4, 3, Sampling::example},
                    Ia3Case{1, 3, Sampling::none, Routing::one_hot},
                    Ia3Case{4, 3, Sampling::none, Routing::learned, {"all-linear"}},
                    Ia3Case{4, 3, Sampling::example, Routing::learned, {"all-linear"}, true, false, Granularity::layer},
                    Ia3Case{1, 3, Sampling::none, Routing::learned, {}, false, true, Granularity::model},
                    Ia3Case{4, 3, Sampling::task, Routing::learned, {}, false, false, Granularity::site, 13},
                    Ia3Case{4, 3, Sampling::none, Routing::learned, {}, true, false, Granularity::site, 0, true},
                    Ia3Case{4, 3, Sampling::example, Routing::learned, {}, false, false, Granularity::site, 0, true}));

TEST(Ia3, StartsAsTheBaseToTheBit) {
  const FakeCheckpoint checkpoint;
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    LlamaModel base(checkpoint, type, at::kCPU, BaseUse::training);
    const PolySpec spec = ia3_spec(base, {1, 1, Sampling::none, Routing::uniform, {"all-linear"}});
    Ia3Adapter adapter(spec, initial_poly(spec, 0), {}, at::kCPU);
    const Microbatch batch = test::two_batches(false)[0];
    EXPECT_TRUE(at::equal(base.forward(batch, &adapter, nullptr), base.forward(batch, nullptr, nullptr)));
  }
}

// The vector of a row is its own task's: a task's rows come out as if it were alone.
TEST(Ia3, TasksDoNotMix) {
  const FakeCheckpoint checkpoint;
  LlamaModel base(checkpoint, at::kDouble, at::kCPU, BaseUse::training);
  const PolySpec spec = ia3_spec(base, {4, 3});
  Ia3Adapter adapter(spec, random_ia3(spec).to(at::kDouble), {}, at::kCPU);
  const at::Tensor both =
      base.forward(test::batch_of({{1, 6, true, 5}, {2, 7, true, 4}, {1, 9, true, 3}}), &adapter, nullptr);
  const at::Tensor second = base.forward(test::batch_of({{2, 7, true, 4}}), &adapter, nullptr);
  const at::Tensor other = base.forward(test::batch_of({{0, 7, true, 4}}), &adapter, nullptr);
  EXPECT_LT(test::apart(both.narrow(0, 5, 4), second), 1e-13);
  EXPECT_GT(test::apart(both.narrow(0, 5, 4), other), 1e-3);
}

// What evaluation puts on the sites: a task's mixture, or the mean of the skills, as vectors of their own.
TEST(Ia3, AMixtureAloneIsWhatTheTaskWasTrainedWith) {
  const FakeCheckpoint checkpoint;
  LlamaModel base(checkpoint, at::kFloat, at::kCPU, BaseUse::training);
  PolySpec spec = ia3_spec(base, {4, 3});
  const at::Tensor values = random_ia3(spec);
  const auto alone = [&](const at::Tensor& mixture, int task) {
    const Microbatch batch = test::batch_of({{task, 3, true, 6}});
    return base.forward(batch, make_fixed(spec, mixture, base).get(), nullptr);
  };
  const auto trained = [&](const PolySpec& with, const at::Tensor& start_values, int task) {
    Ia3Adapter adapter(with, start_values, {}, at::kCPU);
    adapter.begin_evaluation();
    return base.forward(test::batch_of({{task, 3, true, 6}}), &adapter, nullptr);
  };
  for (const int task : {0, 2}) {
    const at::Tensor expected = trained(spec, values, task);
    EXPECT_LT(test::apart(alone(mixed_adapter(spec, values, task), task), expected), 1e-6) << task;
    EXPECT_GT(test::apart(alone(averaged_skills(spec, values), task), expected), 1e-3) << task;
  }
  const at::Tensor mean = averaged_skills(spec, values);
  EXPECT_LT(test::apart(trained(one_skill(spec), mean, 0), alone(mean, 0)), 1e-6);
}

TEST(Ia3, HeadsDivideTheRescaledWidthAlone) {
  const FakeCheckpoint checkpoint;  // k_proj is 48 wide in and 16 out, down_proj 80 in and 48 out
  LlamaModel base(checkpoint, at::kFloat, at::kCPU, BaseUse::training);
  const PolySpec spec = ia3_spec(base, {1, 2});
  EXPECT_NO_THROW(check_heads(spec.sites, 16, SkillKind::rescaling));
  EXPECT_THROW(check_heads(spec.sites, 5, SkillKind::low_rank), UserError);
  try {
    check_heads(spec.sites, 5, SkillKind::rescaling);
    FAIL();
  } catch (const UserError& error) {
    EXPECT_NE(std::string(error.what()).find("k_proj is 16 wide, v_proj is 16 wide."), std::string::npos);
    EXPECT_EQ(std::string(error.what()).find("down_proj"), std::string::npos);
  }
}

}  // namespace
}  // namespace gaggle
