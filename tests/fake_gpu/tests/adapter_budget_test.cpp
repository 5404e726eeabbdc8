// What the number of experts, of tasks and of steps costs a GPU.
#include "../../train/fake_base.h"
#include "adapter/poly_adapter.h"
#include "adapter/routed.h"
#include "passes.h"
#include "train/expert.h"

namespace gaggle {
namespace {

using Budget = Gpu;

at::Tensor random(at::IntArrayRef shape, std::initializer_list<uint64_t> number) {
  at::Tensor t = at::empty(shape);
  fill_normal(random_key("budget", number), 0.2, {t.data_ptr<float>(), static_cast<size_t>(t.numel())});
  return t;
}

RoutedCollection collection_of(const BaseModel& base, size_t experts) {
  RoutedCollection collection;
  for (size_t z = 0; z < experts; ++z) collection.names.push_back(std::to_string(z));
  for (const Site& site : base.sites()) {
    std::vector<LowRank> pairs(experts);
    collection.gates.emplace_back(experts);
    const auto index = static_cast<uint64_t>(site.index);
    for (size_t z = 0; z < experts; ++z) {
      const at::Tensor a = random({8, site.d_in}, {index, z, 0}), b = random({site.d_out, 8}, {index, z, 1});
      pairs[z] = {a.to(gpu, at::kBFloat16), b.to(gpu, at::kBFloat16), 0.5, {}};
      collection.gates.back()[z] = random({site.d_in}, {index, z, 2}).to(gpu);
    }
    collection.sites.push_back(stack_experts(std::move(pairs)));
  }
  return collection;
}

Counts of_routing(size_t experts) {
  LlamaModel base(Deep(2), at::kBFloat16, gpu, BaseUse::inference);
  const auto adapter = make_phatgoose(collection_of(base, experts), 2);
  const Microbatch batch = rows(6);
  return second_time([&] { base.nll(base.forward(batch, adapter.get(), nullptr), batch); });
}

TEST_F(Budget, ExpertsCostNothing) {
  const Counts some = of_routing(160);
  const std::string before = fake_gpu::take_list_of_operators();
  const Counts many = of_routing(320);
  EXPECT_EQ(some.launches, many.launches) << before << "\n" << fake_gpu::take_list_of_operators();
  EXPECT_EQ(some.waits, many.waits);
  EXPECT_EQ(some.copies, many.copies);
  EXPECT_LE(many.waits, 3) << fake_gpu::take_list_of_operators();
}

Counts of_skills(int tasks, int64_t layers) {
  LlamaModel base(Deep(layers), at::kBFloat16, gpu, BaseUse::training);
  PolySpec spec;
  spec.sites = lora_sites(base.sites(), {}, 4, 1);
  spec.skills = 3, spec.heads = 2, spec.tasks = 40;
  PolyAdapter adapter(spec, initial_poly(spec, 1), {}, at::kBFloat16, gpu);
  at::Tensor gradient = at::zeros_like(adapter.values());
  adapter.set_gradients(gradient);
  adapter.begin_step(0);
  const Microbatch batch = rows(40, tasks);
  return second_time([&] { base.forward_backward(batch, adapter); });
}

TEST_F(Budget, TasksCostALayerNothing) {
  const auto of_a_layer = [](int tasks) { return of_skills(tasks, 4).launches - of_skills(tasks, 2).launches; };
  EXPECT_EQ(of_a_layer(4), of_a_layer(40)) << fake_gpu::take_list_of_operators();
  EXPECT_LE(of_skills(40, 2).waits, 3);
}

Counts of_training(int64_t steps) {
  LlamaModel base(Deep(2), at::kBFloat16, gpu, BaseUse::training);
  Config config;
  config.lora.rank = 3;
  config.train.steps = steps;
  config.train.lr = 1e-3;
  config.train.batch_size = 8;
  config.train.validate_every = 0;
  config.gate.steps = 0;
  const TokenTask task = fake_task();
  const Recipe recipe = expert_recipe({config.run.seed, base.sites(), base.content_digest(), at::kBFloat16},
                                      {config.lora, config.train, config.gate, config.cluster.ranks_per_expert}, task);
  const auto self = make_self();
  const Counts before = fake_gpu::counted();
  train_expert(base, task, recipe, *self, {}, {});
  return fake_gpu::counted() - before;
}

// A step of one micro-batch: losses, norms and status are all that the host waits for.
TEST_F(Budget, WaitsOfAStep) {
  of_training(2);
  fake_gpu::take_list_of_operators();
  const Counts few = of_training(4), many = of_training(12);
  std::printf("a step: %.1f launches, %.1f copies, %.1f waits\n", static_cast<double>(many.launches - few.launches) / 8,
              static_cast<double>(many.copies - few.copies) / 8, static_cast<double>(many.waits - few.waits) / 8);
  EXPECT_LE(many.waits - few.waits, 8 * 5) << fake_gpu::take_list_of_operators();
}

}  // namespace
}  // namespace gaggle
