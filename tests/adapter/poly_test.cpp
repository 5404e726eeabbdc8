// Poly / MHR at its edges (one head, one skill, own and shared skills, uniform routing), and a plain reference.
#include <gtest/gtest.h>

#include "base/error.h"
#include "poly_case.h"

namespace gaggle {
namespace {

using test::apart;
using test::gradient_of;
using test::loss_of;
using test::random_poly;
using test::two_batches;

const FakeCheckpoint checkpoint;

class Poly : public testing::Test {
 protected:
  LlamaModel base{checkpoint, at::kDouble, at::kCPU, BaseUse::training};
  const std::vector<Microbatch> batches = two_batches(false);

  // Values are fp32, passes fp64: what is compared differs by the rounding of sums alone.
  PolyAdapter poly(const PolySpec& spec, const at::Tensor& values, RoutingSchedule schedule = {}) const {
    PolyAdapter adapter(spec, values, schedule, at::kDouble, at::kCPU);
    adapter.begin_step(0);
    return adapter;
  }
  LoraAdapter lora(const PolySpec& spec, const std::vector<at::Tensor>& members) const {
    return {spec.sites, members, at::kDouble, at::kCPU};
  }
};

// PEFT's PolyLayer in evaluation, site by site: w = σ(z) / (Σ σ(z) + 1e-12), A and B mixed by einsum.
at::Tensor reference_mixture(const PolySpec& spec, const at::Tensor& values, int task) {
  const ParameterLayout layout = poly_layout(spec), lora = lora_layout(spec.sites);
  at::Tensor flat = at::zeros({lora.size()});
  for (const LoraSite& s : spec.sites) {
    const at::Tensor z =
        layout.view(values, s.site.name + ".poly_router.module_logits")[task].view({spec.heads, spec.skills}).sigmoid();
    const at::Tensor w = z / (z.sum(1, true) + 1e-12);
    const at::Tensor a = at::einsum("qk,qkir->qir", {w, layout.view(values, s.site.name + ".poly_lora_A")});
    const at::Tensor b = at::einsum("qk,qkro->qro", {w, layout.view(values, s.site.name + ".poly_lora_B")});
    lora.view(flat, s.site.name + ".lora_A").copy_(a.reshape({s.site.d_in, s.rank}).t());
    lora.view(flat, s.site.name + ".lora_B").copy_(b.transpose(0, 1).reshape({s.rank, s.site.d_out}).t());
  }
  return flat;
}

TEST_F(Poly, IsTheReferenceForOneHeadAndForSeveral) {
  for (const int64_t heads : {1, 4}) {
    const PolySpec spec = test::poly_spec_of(base, heads, 3);
    const at::Tensor values = random_poly(spec);
    std::vector<at::Tensor> members;
    for (int task = 0; task < 3; ++task) {
      members.push_back(reference_mixture(spec, values, task));
      EXPECT_LT(apart(mixed_adapter(spec, values, task), members.back()), 1e-6);
    }
    PolyAdapter adapter = poly(spec, values);
    LoraAdapter reference = lora(spec, members);
    EXPECT_NEAR(loss_of(base, adapter, batches), loss_of(base, reference, batches), 1e-6);
    EXPECT_GT(apart(members[0], members[1]), 0.1);
  }
}

TEST_F(Poly, EvaluatesAsTheMixedAdapters) {
  for (const auto granularity : {Granularity::site, Granularity::layer, Granularity::stack, Granularity::model})
    for (const Routing routing : {Routing::learned, Routing::uniform, Routing::one_hot}) {
      PolySpec spec = test::poly_spec_of(base, 2, 3);
      spec.granularity = granularity, spec.routing = routing;
      const at::Tensor values = random_poly(spec);
      // Samples and their temperature are training's alone.
      PolyAdapter adapter = poly(spec, values, {Sampling::example, 0.3, 1});
      const double sampled = loss_of(base, adapter, batches);
      adapter.begin_evaluation();
      const double loss = loss_of(base, adapter, batches);
      LoraAdapter mixed =
          lora(spec, {mixed_adapter(spec, values, 0), mixed_adapter(spec, values, 1), mixed_adapter(spec, values, 2)});
      EXPECT_NEAR(loss, loss_of(base, mixed, batches), 1e-6);
      if (routing == Routing::learned) {
        EXPECT_GT(std::abs(loss - sampled), 1e-4);
      }
    }
}

TEST_F(Poly, WithOneSkillIsOneLoraForAll) {
  for (const Routing routing : {Routing::learned, Routing::uniform}) {
    PolySpec spec = test::poly_spec_of(base, 1, 1);
    spec.routing = routing;
    const at::Tensor values = random_poly(spec);
    std::vector<Microbatch> one_member = batches;
    for (Microbatch& batch : one_member) batch.decoder.segments = {{0, 0, batch.decoder.count()}};
    PolyAdapter adapter = poly(spec, values);
    LoraAdapter alone = lora(spec, {mixed_adapter(spec, values, 0)});
    const at::Tensor gradient = gradient_of(base, adapter, batches);
    const at::Tensor expected = gradient_of(base, alone, one_member);
    for (const LoraSite& s : spec.sites) {
      const auto ours = [&](const char* name) {
        const at::Tensor head = adapter.layout().view(gradient, s.site.name + name);  // [1, 1, n, m]
        return head[0][0].t();
      };
      EXPECT_LT(apart(ours(".poly_lora_A"), alone.layout().view(expected, s.site.name + ".lora_A")), 1e-5);
      EXPECT_LT(apart(ours(".poly_lora_B"), alone.layout().view(expected, s.site.name + ".lora_B")), 1e-5);
      if (routing == Routing::learned) {  // whatever z is, w = 1
        EXPECT_LT(adapter.layout().view(gradient, s.site.name + ".poly_router.module_logits").abs().max().item<float>(),
                  1e-6);
      }
    }
  }
}

TEST_F(Poly, PrivateIsALoraForEachTask) {
  PolySpec spec = test::poly_spec_of(base, 1, 3);
  spec.routing = Routing::one_hot;
  const at::Tensor values = random_poly(spec);
  PolyAdapter adapter = poly(spec, values);
  std::vector<at::Tensor> members;
  for (int task = 0; task < 3; ++task) members.push_back(mixed_adapter(spec, values, task));
  LoraAdapter lora_adapter = lora(spec, members);
  const at::Tensor gradient = gradient_of(base, adapter, batches), expected = gradient_of(base, lora_adapter, batches);
  for (const LoraSite& s : spec.sites)
    for (int64_t task = 0; task < 3; ++task) {
      const at::Tensor a = adapter.layout().view(gradient, s.site.name + ".poly_lora_A")[0][task].t();
      EXPECT_LT(apart(a, lora_adapter.layout().view(expected, fmt::format("{:04}/{}.lora_A", task, s.site.name))),
                1e-5);
    }
  EXPECT_EQ(adapter.layout().find("model.layers.0.self_attn.q_proj.poly_router.module_logits"), nullptr);
}

// MHR-μ, and the zero-shot form: mean A and mean B, head by head.
TEST_F(Poly, UniformRoutingIsTheAveragedAdapter) {
  const PolySpec spec = test::poly_spec_of(base, 4, 3);
  const ParameterLayout layout = poly_layout(spec), lora_parts = lora_layout(spec.sites);
  at::Tensor values = random_poly(spec);
  const at::Tensor averaged = averaged_skills(spec, values);
  for (const LoraSite& s : spec.sites) {
    const at::Tensor a = layout.view(values, s.site.name + ".poly_lora_A").mean(1);  // [h, d_in/h, r]
    const at::Tensor b = layout.view(values, s.site.name + ".poly_lora_B").mean(1);  // [h, r, d_out/h]
    EXPECT_LT(apart(lora_parts.view(averaged, s.site.name + ".lora_A"), at::cat(a.unbind(), 0).t()), 1e-6);
    EXPECT_LT(apart(lora_parts.view(averaged, s.site.name + ".lora_B"), at::cat(b.unbind(), 1).t()), 1e-6);
  }
  LoraAdapter mu = lora(spec, {averaged, averaged, averaged});
  const double expected = loss_of(base, mu, batches);
  // From average_from on, whatever the table says and however it is sampled.
  PolyAdapter late = poly(spec, values, {Sampling::example, 1, 0, 5});
  EXPECT_GT(std::abs(loss_of(base, late, batches) - expected), 1e-4);
  late.begin_step(5);
  EXPECT_NEAR(loss_of(base, late, batches), expected, 1e-6);
  late.begin_evaluation();
  EXPECT_NEAR(loss_of(base, late, batches), expected, 1e-6);
  // With a table of zeros a task's own row says the same, to the bit.
  for (const ParameterInfo& t : layout.tensors())
    if (is_router(t)) layout.view(values, t).zero_();
  EXPECT_TRUE(at::equal(mixed_adapter(spec, values, 1), averaged));
  PolySpec uniform = spec;
  uniform.routing = Routing::uniform;
  const ParameterLayout skills = poly_layout(uniform);
  at::Tensor without_table = at::zeros({skills.size()});
  for (const ParameterInfo& t : skills.tensors()) skills.view(without_table, t).copy_(layout.view(values, t.name));
  EXPECT_TRUE(at::equal(mixed_adapter(uniform, without_table, 0), averaged));
}

TEST(RoutingKept, FallsFromOneToZeroInTheStepsGiven) {
  RoutingSchedule schedule;
  for (const int64_t step : {0, 1, 1000}) EXPECT_EQ(routing_kept(schedule, step), 1);
  schedule.average_from = 3;
  EXPECT_EQ(routing_kept(schedule, 2), 1);
  EXPECT_EQ(routing_kept(schedule, 3), 0);
  schedule = {Sampling::none, 1, 0, -1, 6, 10};
  EXPECT_EQ(routing_kept(schedule, 5), 1);
  EXPECT_DOUBLE_EQ(routing_kept(schedule, 6), std::cos(std::numbers::pi / 8));
  EXPECT_DOUBLE_EQ(routing_kept(schedule, 7), std::cos(std::numbers::pi / 4));
  EXPECT_EQ(routing_kept(schedule, 9), 0);
  EXPECT_EQ(routing_kept(schedule, 20), 0);
  schedule.average_from = 0;
  EXPECT_EQ(routing_kept(schedule, 0), 0);
}

TEST(MixingWeights, AreKeptAgainstUniformAndSumToOne) {
  at::manual_seed(4);
  const at::Tensor logits = at::randn({2, 6}, at::kDouble);
  const at::Tensor whole = mixing_weights(logits, 2, 1).w, half = mixing_weights(logits, 2, 0.5).w;
  EXPECT_LT(apart(half, 0.5 * whole + 0.5 / 3), 1e-15);
  EXPECT_LT(apart(half.sum(2), at::ones({2, 2})), 1e-11);
  // RelaxedBernoulli with u = ½ is σ(Z / τ), and no u makes it infinite.
  const MixingWeights sampled = mixing_weights(logits, 2, 1, at::full({2, 6}, 0.5, at::kDouble), 0.5);
  EXPECT_LT(apart(sampled.z.flatten(1), (logits / 0.5).sigmoid()), 1e-12);
  for (const double u : {0.0, 1.0})
    EXPECT_TRUE(at::isfinite(mixing_weights(logits, 2, 1, at::full({2, 6}, u), 0.1).w).all().item<bool>());
}

TEST_F(Poly, HeadsThatDoNotDivideAreRefusedWithTheSizes) {
  const PolySpec spec = test::poly_spec_of(base, 32, 2);
  try {
    check_heads(spec.sites, 32);
    FAIL();
  } catch (const UserError& error) {
    const std::string text = error.what();
    for (const char* part : {"poly.heads = 32", "q_proj is 48 wide in and 48 out", "k_proj is 48 wide in and 16 out",
                             "down_proj is 80 wide in and 48 out", "lora.targets"})
      EXPECT_NE(text.find(part), std::string::npos) << text;
  }
  EXPECT_NO_THROW(check_heads(spec.sites, 16));
  EXPECT_THROW(PolyAdapter(spec, at::zeros({1}), {}, at::kFloat, at::kCPU), UserError);
}

TEST_F(Poly, WithFrozenSkillsOnlyTheTableTrains) {
  PolySpec spec = test::poly_spec_of(base, 4, 3);
  const at::Tensor values = random_poly(spec);
  for (const Sampling sampling : {Sampling::none, Sampling::example}) {
    PolyAdapter all = poly(spec, values, {sampling, 1, 2});
    const at::Tensor whole = gradient_of(base, all, batches);
    spec.train_skills = false;
    PolyAdapter table = poly(spec, values, {sampling, 1, 2});
    const at::Tensor gradient = gradient_of(base, table, batches);
    spec.train_skills = true;
    EXPECT_EQ(table.layout().tensors().size(), spec.sites.size());
    for (const ParameterInfo& t : table.layout().tensors()) {
      EXPECT_TRUE(is_router(t));
      EXPECT_TRUE(at::equal(table.layout().view(gradient, t), all.layout().view(whole, t.name))) << t.name;
    }
    table.values().add_(1);
    table.refresh();
    const ParameterLayout layout = poly_layout(spec);
    for (const ParameterInfo& t : layout.tensors())
      EXPECT_LT(apart(layout.view(table.all_values(), t), layout.view(values, t) + (is_router(t) ? 1.0 : 0.0)), 1e-7);
  }
}

TEST_F(Poly, StartsAsTheBaseWithKeyedValues) {
  const PolySpec spec = test::poly_spec_of(base, 4, 3);
  const ParameterLayout layout = poly_layout(spec);
  const at::Tensor values = initial_poly(spec, 7);
  EXPECT_TRUE(at::equal(values, initial_poly(spec, 7)));
  EXPECT_FALSE(at::equal(values, initial_poly(spec, 8)));
  for (const ParameterInfo& t : layout.tensors()) {
    const double most = layout.view(values, t).abs().max().item<double>();
    const double bound = is_router(t) ? 1e-3
                         : t.name.ends_with("poly_lora_B")
                             ? 0
                             : 1 / std::sqrt(3.0 * static_cast<double>(t.shape[0] * t.shape[2]));
    EXPECT_LE(most, bound * (1 + 1e-6)) << t.name;
    EXPECT_GE(most, bound * 0.7) << t.name;
  }
  PolyAdapter adapter = poly(spec, values);
  PolyAdapter nothing = poly(spec, at::zeros_like(values));
  EXPECT_EQ(loss_of(base, adapter, batches), loss_of(base, nothing, batches));
}

// Samples of the routing are drawn anew for every step, task (or example), router and seed.
TEST_F(Poly, SamplesAreKeyedByWhatTheyAreFor) {
  const PolySpec spec = test::poly_spec_of(base, 2, 3);
  const auto weights = [&](uint64_t seed, int64_t step) {
    PolyAdapter adapter(spec, at::zeros({poly_layout(spec).size()}), {Sampling::task, 1, seed}, at::kDouble, at::kCPU);
    adapter.begin_step(step);
    const std::vector<int> tasks = {0, 1, 2};
    return at::stack(adapter.routing_of(tasks), 1);  // [tasks, sites, h, K]
  };
  const at::Tensor w = weights(1, 0);
  EXPECT_TRUE(at::equal(weights(1, 0), w));
  for (const at::Tensor& other : {weights(2, 0), weights(1, 1), w.roll(1, 0), w.roll(1, 1), w.roll(1, 2)})
    EXPECT_GT((w - other).abs().mean().item<double>(), 0.05);
  EXPECT_LT(apart(w.sum(3), at::ones({3, w.size(1), 2})), 1e-6);

  // Per example too: the same rows, sampled for another example.
  PolyAdapter adapter(spec, random_poly(spec), {Sampling::example, 1, 1}, at::kDouble, at::kCPU);
  adapter.begin_step(0);
  Microbatch batch = batches[1];
  const auto loss = [&] { return loss_of(base, adapter, {batch}); };
  const double before = loss();
  EXPECT_EQ(loss(), before);
  batch.decoder.samples[1] += 100;
  const double other_sample = loss();
  EXPECT_GT(std::abs(other_sample - before), 1e-5);
  adapter.begin_step(1);
  EXPECT_GT(std::abs(loss() - other_sample), 1e-5);
}

// Bits of a pass do not depend on what else the step brought before it.
TEST(PolyBits, OfALaneAreItsOwn) {
  LlamaModel base(checkpoint, at::kFloat, at::kCPU, BaseUse::training);
  const PolySpec spec = test::poly_spec_of(base, 4, 3);
  for (const Sampling sampling : {Sampling::none, Sampling::task, Sampling::example})
    for (const bool long_sequences : {false, true}) {
      const std::vector<Microbatch> batches = two_batches(long_sequences), second = {batches[1]};
      PolyAdapter alone(spec, random_poly(spec), {sampling, 1, 4}, at::kFloat, at::kCPU);
      alone.begin_step(3);
      const at::Tensor expected = gradient_of(base, alone, second);
      PolyAdapter after(spec, random_poly(spec), {sampling, 1, 4}, at::kFloat, at::kCPU);
      after.begin_step(2);
      gradient_of(base, after, batches);
      after.begin_step(3);
      const at::Tensor first = gradient_of(base, after, batches);
      EXPECT_TRUE(at::equal(gradient_of(base, after, second), expected)) << test::name_of(sampling);
      EXPECT_TRUE(at::equal(gradient_of(base, after, batches), first)) << test::name_of(sampling);
      EXPECT_FALSE(at::equal(first, expected));
    }
}

}  // namespace
}  // namespace gaggle
