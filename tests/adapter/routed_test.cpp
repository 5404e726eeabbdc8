// What sits on the sites against the plain formulas of the design's section 3.
#include "adapter/routed.h"

#include <gtest/gtest.h>

#include "../model/sites_only.h"
#include "base/error.h"
#include "base/philox.h"

namespace gaggle {
namespace {

at::Tensor normal(std::vector<int64_t> shape, uint64_t seed) {
  auto values = at::empty(shape, at::kFloat);
  fill_normal(random_key("test", {seed}), 1, {values.data_ptr<float>(), static_cast<size_t>(values.numel())});
  return values;
}

constexpr int64_t d_in = 12, d_out = 10;
const Site first{0, "first", "first", 0, d_in, d_out}, second{1, "second", "second", 0, d_in, d_out};

// Three experts of ranks 4, 8, 64; the second is absent at the second site, the third has no gate there.
RoutedCollection example() {
  RoutedCollection collection;
  collection.names = {"a", "b", "c"};
  const std::vector<int64_t> ranks = {4, 8, 64};
  for (uint64_t s = 0; s < 2; ++s) {
    std::vector<LowRank> pairs(3);
    std::vector<at::Tensor> gates(3);
    for (uint64_t z = 0; z < 3; ++z) {
      if (s == 1 && z == 1) continue;
      pairs[z] = {
          normal({ranks[z], d_in}, 10 * s + z), normal({d_out, ranks[z]}, 100 + 10 * s + z), 0.5 / double(z + 1), {}};
      if (s == 0 || z == 0) gates[z] = normal({d_in}, 200 + 10 * s + z);
    }
    collection.sites.push_back(stack_experts(std::move(pairs)));
    collection.gates.push_back(std::move(gates));
  }
  return collection;
}

// scale · B A x of one expert, 0 where it is absent.
at::Tensor update(const RoutedCollection& collection, const Site& site, size_t z, const at::Tensor& x) {
  const LowRank& pair = collection.sites[static_cast<size_t>(site.index)].experts[z];
  if (!pair.a.defined()) return at::zeros({x.size(0), d_out}, at::kDouble);
  return pair.scale * at::matmul(at::matmul(x.to(at::kDouble), pair.a.to(at::kDouble).t()), pair.b.to(at::kDouble).t());
}

at::Tensor added(RoutedAdapter& adapter, const Site& site, const at::Tensor& x) {
  const auto before = normal({x.size(0), d_out}, 7);
  auto y = before.clone();
  adapter.forward(site, x, y);
  return y.to(at::kDouble) - before.to(at::kDouble);
}

void expect_close(const at::Tensor& found, const at::Tensor& expected) {
  EXPECT_LE((found - expected).norm().item<double>(), 1e-5 * (1 + expected.norm().item<double>()));
}

TEST(RoutedAdapter, uniform_is_the_mean_over_all_with_absent_ones_as_zero) {
  const auto collection = example();
  const auto adapter = make_merged(collection);
  const auto x = normal({6, d_in}, 1);
  for (const Site& site : {first, second}) {
    auto expected = at::zeros({6, d_out}, at::kDouble);
    for (size_t z = 0; z < 3; ++z) expected += update(collection, site, z, x) / 3;
    expect_close(added(*adapter, site, x), expected);
  }
  EXPECT_TRUE(adapter->weight_by_expert().empty());
}

TEST(RoutedAdapter, single_is_one_expert_and_nothing_where_it_is_absent) {
  const auto collection = example();
  const auto x = normal({6, d_in}, 2);
  for (int z = 0; z < 3; ++z) {
    const auto adapter = make_single(collection, z);
    for (const Site& site : {first, second})
      expect_close(added(*adapter, site, x), update(collection, site, static_cast<size_t>(z), x));
  }
}

TEST(RoutedAdapter, an_expert_alone_with_a_gate_at_a_site_gets_every_token) {
  const auto collection = example();
  const auto adapter = make_phatgoose(collection, 2);
  const auto x = normal({6, d_in}, 3);
  expect_close(added(*adapter, second, x), update(collection, second, 0, x));
}

TEST(RoutedAdapter, phatgoose_and_arrow_follow_route_at_every_site) {
  const auto collection = example();
  const auto x = normal({6, d_in}, 4);
  RoutedSite gated = collection.sites[0], arrows = collection.sites[0];
  std::vector<at::Tensor> gates, directions;
  for (size_t z = 0; z < 3; ++z) {
    gates.push_back(standardise(collection.gates[0][z]));
    directions.push_back(arrow_direction(collection.sites[0].experts[z].a, collection.sites[0].experts[z].b));
  }
  set_candidates(gated, {0, 1, 2}, gates);
  set_candidates(arrows, {0, 1, 2}, directions);
  for (const int64_t k : {1, 2, 0})
    for (const Scoring scoring : {Scoring::phatgoose, Scoring::arrow_mttl, Scoring::arrow_phatgoose}) {
      const bool gate = scoring == Scoring::phatgoose;
      const auto adapter = gate ? make_phatgoose(collection, k) : make_arrow(collection, scoring, k);
      const TokenRouting routed = route(x, gate ? gated : arrows, scoring, k);
      auto expected = at::zeros({6, d_out}, at::kDouble);
      for (int64_t t = 0; t < 6; ++t)
        for (int64_t j = 0; j < routed.experts.size(1); ++j)
          expected[t] += routed.weights[t][j].item<double>() *
                         update(collection, first, static_cast<size_t>(routed.experts[t][j].item<int64_t>()),
                                x.narrow(0, t, 1))[0];
      expect_close(added(*adapter, first, x), expected);
    }
}

TEST(RoutedAdapter, weight_by_expert_counts_every_token_and_site_once) {
  const auto collection = example();
  const auto adapter = make_phatgoose(collection, 2);
  for (const Site& site : {first, second}) added(*adapter, site, normal({6, d_in}, 5));
  const auto weight = adapter->weight_by_expert();
  ASSERT_EQ(weight.size(), 3u);
  EXPECT_NEAR(weight[0] + weight[1] + weight[2], 12, 1e-5);
  EXPECT_GE(weight[0], 6 - 1e-9);  // alone at the second site
}

TEST(RoutedAdapter, an_observer_is_told_of_every_choice_until_it_leaves) {
  const auto collection = example();
  const auto adapter = make_phatgoose(collection, 2);
  std::vector<std::string> sites;
  std::vector<double> weight(3, 0);
  adapter->observe([&](const Site& site, const TokenRouting& routed) {
    sites.push_back(site.name);
    for (int64_t t = 0; t < routed.experts.size(0); ++t)
      for (int64_t j = 0; j < routed.experts.size(1); ++j)
        weight[static_cast<size_t>(routed.experts[t][j].item<int64_t>())] += routed.weights[t][j].item<double>();
  });
  for (const Site& site : {first, second}) added(*adapter, site, normal({6, d_in}, 5));
  added(*adapter, first, normal({0, d_in}, 5));  // nothing to choose for
  const auto all = adapter->weight_by_expert();
  for (size_t z = 0; z < 3; ++z) EXPECT_NEAR(weight[z], all[z], 1e-9);
  EXPECT_EQ(sites, (std::vector<std::string>{"first", "second"}));
  adapter->observe({});
  added(*adapter, first, normal({6, d_in}, 5));
  EXPECT_EQ(sites.size(), 2u);
}

TEST(RoutedAdapter, fixed_is_one_lora_at_its_sites_and_nothing_elsewhere) {
  const std::vector<LoraSite> lora = {{second, 3, 0.5}};
  const ParameterLayout layout = lora_layout(lora);
  const auto values = normal({layout.size()}, 8), x = normal({6, d_in}, 9);
  PolySpec spec;
  spec.sites = lora;
  const auto adapter = make_fixed(spec, values, test::SitesOnly({first, second}));
  const auto a = layout.view(values, "second.lora_A").to(at::kDouble),
             b = layout.view(values, "second.lora_B").to(at::kDouble);
  expect_close(added(*adapter, second, x), 0.5 * at::matmul(at::matmul(x.to(at::kDouble), a.t()), b.t()));
  expect_close(added(*adapter, first, x), at::zeros({6, d_out}, at::kDouble));
}

TEST(RoutedAdapter, has_no_backward) {
  const auto adapter = make_merged(example());
  auto x = normal({6, d_in}, 6), y = normal({6, d_out}, 7);
  EXPECT_THROW(adapter->backward(first, x, y, x), std::logic_error);
}

TEST(RoutedCollection, names_and_gates) {
  const auto collection = example();
  EXPECT_EQ(collection.number_of("c"), 2);
  EXPECT_EQ(collection.number_of("d"), -1);
  EXPECT_TRUE(collection.gated(2));
}

}  // namespace
}  // namespace gaggle
