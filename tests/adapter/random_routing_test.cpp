// Random routing against a sum written out, and that a token's draw does not depend on how it was batched.
#include "adapter/random_routing.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "base/philox.h"

namespace gaggle::random_routing {
namespace {

constexpr int64_t width = 12;
const Site first{0, "first", "first", 0, width, width}, second{1, "second", "second", 0, width, width},
    in_encoder{2, "third", "third", 0, width, width, Side::encoder};

at::Tensor normal(std::vector<int64_t> shape, uint64_t seed) {
  auto values = at::empty(shape, at::kFloat);
  fill_normal(random_key("test", {seed}), 1, {values.data_ptr<float>(), static_cast<size_t>(values.numel())});
  return values;
}

// Four experts of unlike rank and scale; the third is absent at the second site.
RoutedCollection example() {
  RoutedCollection collection;
  collection.names = {"a", "b", "c", "d"};
  for (uint64_t s = 0; s < 3; ++s) {
    std::vector<LowRank> pairs(4);
    for (uint64_t z = 0; z < 4; ++z)
      if (s != 1 || z != 2)
        pairs[z] = {normal({int64_t(z) + 1, width}, 10 * s + z),
                    normal({width, int64_t(z) + 1}, 50 + 10 * s + z),
                    0.5 / double(z + 1),
                    {}};
    collection.sites.push_back(stack_experts(std::move(pairs)));
  }
  return collection;
}

at::Tensor added(RoutedAdapter& adapter, const Site& site, const at::Tensor& x) {
  at::Tensor y = at::zeros({x.size(0), width});
  adapter.forward(site, x, y);
  return y;
}

double apart(const at::Tensor& a, const at::Tensor& b) { return (a - b).abs().max().item<double>(); }

// scale · B A x of every expert for one token, [4, width].
at::Tensor updates(const RoutedCollection& collection, const Site& site, const at::Tensor& x) {
  std::vector<at::Tensor> all;
  for (const LowRank& pair : collection.sites[static_cast<size_t>(site.index)].experts)
    all.push_back(pair.a.defined() ? pair.scale * at::mv(pair.b, at::mv(pair.a, x)) : at::zeros({width}));
  return at::stack(all);
}

// The set of k experts whose mean `y` is, by trying all of them; empty: none.
std::set<int> experts_of(const at::Tensor& y, const at::Tensor& updates, int k, std::set<int> candidates) {
  for (int bits = 0; bits < 16; ++bits) {
    std::set<int> chosen;
    at::Tensor sum = at::zeros({width});
    for (int z = 0; z < 4; ++z)
      if (bits >> z & 1) chosen.insert(z), sum += updates[z];
    if (static_cast<int>(chosen.size()) != k || !std::ranges::includes(candidates, chosen)) continue;
    if (apart(y, sum / k) < 1e-4) return chosen;
  }
  return {};
}

Microbatch batch_of(const std::vector<std::vector<int32_t>>& sequences) {
  Microbatch batch;
  for (const auto& ids : sequences) append_sequence(batch.decoder, ids);
  return batch;
}

std::vector<int32_t> numbers(int count) {
  std::vector<int32_t> ids(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) ids[static_cast<size_t>(i)] = i % 7;
  return ids;
}

TEST(RandomRouting, IsTheMeanOfKExpertsThatSitAtTheSiteEachAsOften) {
  const RoutedCollection collection = example();
  const auto adapter = make_random(collection, 2, 1);
  const int tokens = 600;
  const at::Tensor x = normal({tokens, width}, 3);
  adapter->begin(batch_of({numbers(tokens)}));
  for (const auto& [site, candidates] :
       {std::pair(first, std::set<int>{0, 1, 2, 3}), std::pair(second, std::set<int>{0, 1, 3})}) {
    const at::Tensor y = added(*adapter, site, x);
    std::map<int, int> times;
    for (int t = 0; t < tokens; ++t) {
      const std::set<int> chosen = experts_of(y[t], updates(collection, site, x[t]), 2, candidates);
      ASSERT_EQ(chosen.size(), 2u) << site.name << " " << t;
      for (const int z : chosen) ++times[z];
    }
    const double expected = 2.0 * tokens / static_cast<double>(candidates.size());
    for (const int z : candidates) EXPECT_NEAR(times[z], expected, 5 * std::sqrt(expected)) << site.name << z;
  }
  double weight = 0;
  for (const double w : adapter->weight_by_expert()) weight += w;
  EXPECT_NEAR(weight, 2 * tokens, 1e-3);
}

TEST(RandomRouting, TakesAllWhereKIsZeroOrMoreThanThereAre) {
  const RoutedCollection collection = example();
  const at::Tensor x = normal({3, width}, 4);
  for (const int64_t k : {0, 9}) {
    const auto adapter = make_random(collection, k, 1);
    adapter->begin(batch_of({{1, 2, 3}}));
    const at::Tensor y = added(*adapter, second, x);
    for (int64_t t = 0; t < 3; ++t) EXPECT_LT(apart(y[t], updates(collection, second, x[t]).sum(0) / 3), 1e-4);
  }
}

TEST(RandomRouting, FollowsTheTextAndNotTheBatch) {
  const RoutedCollection collection = example();
  const std::vector<int32_t> ids = numbers(20);
  const at::Tensor x = normal({20, width}, 5);
  const auto adapter = make_random(collection, 1, 1), other_seed = make_random(collection, 1, 2);
  adapter->begin(batch_of({ids}));
  other_seed->begin(batch_of({ids}));
  const at::Tensor alone = added(*adapter, first, x);
  EXPECT_GT(apart(added(*other_seed, first, x), alone), 1e-2);

  adapter->begin(batch_of({{5, 5, 5}, ids}));  // behind another sequence
  const at::Tensor behind = added(*adapter, first, at::cat({normal({3, width}, 6), x}));
  EXPECT_LT(apart(behind.narrow(0, 3, 20), alone), 1e-5);

  // In two passes over a cache, the second for two sequences that share the first.
  adapter->begin(batch_of({{5}, {ids.begin(), ids.begin() + 8}}));
  EXPECT_LT(apart(added(*adapter, first, at::cat({normal({1, width}, 7), x.narrow(0, 0, 8)})).narrow(0, 1, 8),
                  alone.narrow(0, 0, 8)),
            1e-5);
  Microbatch rest = batch_of({{6, 6}, {ids.begin() + 8, ids.end()}});
  rest.past = {{1, 2, 3, 4, 5, 6, 7, 8}, {1, 2, 3, 4, 5, 6, 7, 8}};
  adapter->begin(rest);
  const at::Tensor y = added(*adapter, first, at::cat({normal({2, width}, 8), x.narrow(0, 8, 12)}));
  EXPECT_LT(apart(y.narrow(0, 2, 12), alone.narrow(0, 8, 12)), 1e-5);
}

TEST(RandomRouting, HearsWhatAnEncoderRead) {
  const RoutedCollection collection = example();
  const auto adapter = make_random(collection, 1, 1);
  const auto begin = [&](const std::vector<int32_t>& source) {
    Microbatch batch = batch_of({numbers(20)});
    append_sequence(batch.encoder, source);
    batch.sources = {0};
    adapter->begin(batch);
  };
  const at::Tensor x = normal({20, width}, 5), read = normal({2, width}, 6);
  begin({1, 2});
  const at::Tensor y = added(*adapter, first, x), encoded = added(*adapter, in_encoder, read);
  begin({1, 3});
  EXPECT_GT(apart(added(*adapter, first, x), y), 1e-2);
  EXPECT_LT(apart(added(*adapter, in_encoder, read)[0], encoded[0]), 1e-5);
  begin({1, 2});
  EXPECT_LT(apart(added(*adapter, first, x), y), 1e-5);
}

}  // namespace
}  // namespace gaggle::random_routing
