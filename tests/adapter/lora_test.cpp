// LoRA and gate adapters: how they start, members' segments, what stays frozen.
#include "adapter/lora.h"

#include <gtest/gtest.h>

#include <cmath>

#include "adapter/gate.h"
#include "adapter/pack.h"
#include "base/error.h"

namespace gaggle {
namespace {

const std::vector<Site> sites = {{0, "layers.0.q_proj", "q_proj", 0, 6, 4}, {1, "layers.1.up", "up", 1, 4, 6}};

std::vector<LoraSite> adapted() { return lora_sites(sites, {}, 3, 1.5); }

at::Tensor random_lora(uint64_t seed) {
  return initial_lora(adapted(), seed, 0.3) + 0.01 * at::arange(lora_layout(adapted()).size(), at::kFloat).sin();
}

Microbatch batch_of(std::vector<Segment> segments) {
  Microbatch batch;
  batch.decoder.segments = std::move(segments);
  return batch;
}

at::Tensor naive(const Site& site, const at::Tensor& lora, const at::Tensor& x) {
  const ParameterLayout layout = lora_layout(adapted());
  const at::Tensor a = layout.view(lora, site.name + ".lora_A"), b = layout.view(lora, site.name + ".lora_B");
  return x.mm(a.t()).mm(b.t()) * 0.5;
}

TEST(InitialLora, DependsOnSeedAndSiteAlone) {
  const ParameterLayout layout = lora_layout(adapted());
  const at::Tensor both = initial_lora(adapted(), 7, 0.1);
  EXPECT_TRUE(at::equal(both, initial_lora(adapted(), 7, 0.1)));
  EXPECT_FALSE(at::equal(both, initial_lora(adapted(), 8, 0.1)));
  const std::vector<LoraSite> second = {adapted()[1]};  // as if the other site were not adapted
  const at::Tensor alone = initial_lora(second, 7, 0.1);
  EXPECT_TRUE(
      at::equal(lora_layout(second).view(alone, "layers.1.up.lora_A"), layout.view(both, "layers.1.up.lora_A")));
  EXPECT_EQ(layout.view(both, "layers.0.q_proj.lora_B").abs().max().item<float>(), 0);
  EXPECT_GT(layout.view(both, "layers.0.q_proj.lora_A").abs().min().item<float>(), 0);
}

TEST(LoraAdapter, EverySegmentIsItsMembers) {
  at::manual_seed(1);
  const std::vector<at::Tensor> members = {random_lora(1), random_lora(2)};
  LoraAdapter adapter(adapted(), members, at::kFloat, at::kCPU);
  adapter.begin(batch_of({{1, 0, 2}, {0, 2, 5}}));
  const at::Tensor x = at::randn({5, 6});
  at::Tensor y = at::zeros({5, 4});
  adapter.forward(sites[0], x, y);
  EXPECT_TRUE(at::allclose(y.narrow(0, 0, 2), naive(sites[0], members[1], x.narrow(0, 0, 2)), 1e-5, 1e-6));
  EXPECT_TRUE(at::allclose(y.narrow(0, 2, 3), naive(sites[0], members[0], x.narrow(0, 2, 3)), 1e-5, 1e-6));

  // A member's gradient comes from its own rows alone.
  const ParameterLayout& layout = adapter.layout();
  at::Tensor gradient = at::zeros({layout.size()});
  adapter.set_gradients(gradient);
  at::Tensor dy = at::randn({5, 4}), dx = at::zeros({5, 6});
  dy.narrow(0, 0, 2).zero_();
  adapter.backward(sites[0], x, dy, dx);
  EXPECT_EQ(layout.view(gradient, "0001/layers.0.q_proj.lora_A").abs().max().item<float>(), 0);
  EXPECT_GT(layout.view(gradient, "0000/layers.0.q_proj.lora_A").abs().max().item<float>(), 0);
  EXPECT_EQ(dx.narrow(0, 0, 2).abs().max().item<float>(), 0);
}

TEST(LoraAdapter, RefreshTakesUpChangedValues) {
  LoraAdapter adapter(adapted(), {random_lora(1)}, at::kBFloat16, at::kCPU);
  adapter.begin(batch_of({{0, 0, 3}}));
  const at::Tensor x = at::ones({3, 6}, at::kBFloat16);
  at::Tensor before = at::zeros({3, 4}, at::kBFloat16), after = before.clone();
  adapter.forward(sites[0], x, before);
  adapter.values().mul_(2);
  adapter.refresh();
  adapter.forward(sites[0], x, after);
  EXPECT_TRUE(at::allclose(after, 4 * before, 0.02, 1e-3));
}

TEST(GateAdapter, StartsAtHalfAndTrainsGatesAlone) {
  at::manual_seed(2);
  const at::Tensor lora = random_lora(3), kept = lora.clone();
  GateAdapter adapter(adapted(), lora, at::kFloat, at::kCPU);
  EXPECT_EQ(adapter.layout().tensors().size(), 2u);  // nothing but the gates
  adapter.begin(batch_of({{0, 0, 4}}));
  const at::Tensor x = at::randn({4, 6}), dy = at::randn({4, 4});
  at::Tensor y = at::zeros({4, 4}), dx = at::zeros({4, 6});
  adapter.forward(sites[0], x, y);
  EXPECT_TRUE(at::allclose(y, 0.5 * naive(sites[0], lora, x), 1e-5, 1e-6));
  at::Tensor gradient = at::zeros({adapter.layout().size()});
  adapter.set_gradients(gradient);
  adapter.backward(sites[0], x, dy, dx);
  // d/dv Σ_t dy·(σ(v·x) z) at v = 0: Σ_t (dy·z) x / 4.
  const at::Tensor expected = (dy * naive(sites[0], lora, x)).sum(1, /*keepdim=*/true).mul(0.25).mul(x).sum(0);
  EXPECT_TRUE(at::allclose(adapter.layout().view(gradient, "layers.0.q_proj.gate"), expected, 1e-4, 1e-5));
  EXPECT_EQ(adapter.layout().view(gradient, "layers.1.up.gate").abs().max().item<float>(), 0);
  EXPECT_TRUE(at::equal(lora, kept));
}

// σ(v·x + b) begins at σ(b), and the slope there is σ(b)(1 - σ(b)).
TEST(GateAdapter, StartsWhereItsBiasSays) {
  at::manual_seed(2);
  const double bias = -2, g = 1 / (1 + std::exp(-bias));
  const at::Tensor lora = random_lora(3);
  GateAdapter adapter(adapted(), lora, at::kFloat, at::kCPU, bias);
  PairAdapter* members[] = {&adapter};
  PackAdapter pack(members);
  const at::Tensor x = at::randn({4, 6}), dy = at::randn({4, 4});
  const at::Tensor z = naive(sites[0], lora, x);
  const at::Tensor expected = (dy * z).sum(1, /*keepdim=*/true).mul(g * (1 - g)).mul(x).sum(0);
  for (const bool packed : {false, true}) {
    at::Tensor gradient = at::zeros({adapter.layout().size()});
    adapter.set_gradients(gradient);
    pack.gather();
    SiteAdapter& used = packed ? static_cast<SiteAdapter&>(pack) : adapter;
    used.begin(batch_of({{0, 0, 4}}));
    at::Tensor y = at::zeros({4, 4}), dx = at::zeros({4, 6});
    used.forward(sites[0], x, y);
    EXPECT_TRUE(at::allclose(y, g * z, 1e-5, 1e-6)) << packed;
    used.backward(sites[0], x, dy, dx);
    EXPECT_TRUE(at::allclose(adapter.layout().view(gradient, "layers.0.q_proj.gate"), expected, 1e-4, 1e-5)) << packed;
  }
}

TEST(GateAdapter, RefusesSeveralMembers) {
  GateAdapter adapter(adapted(), random_lora(1), at::kFloat, at::kCPU);
  EXPECT_THROW(adapter.begin(batch_of({{0, 0, 2}, {1, 2, 3}})), std::logic_error);
}

}  // namespace
}  // namespace gaggle
