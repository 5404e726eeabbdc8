// Routing against loops over tokens, candidates and components in fp64.
#include "kernel/routing.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/philox.h"

namespace gaggle {
namespace {

using Vector = std::vector<double>;

at::Tensor normal(std::vector<int64_t> shape, uint64_t seed, double std = 1) {
  auto values = at::empty(shape, at::kFloat);
  fill_normal(random_key("test", {seed}), std, {values.data_ptr<float>(), static_cast<size_t>(values.numel())});
  return values;
}

Vector row(const at::Tensor& matrix, int64_t i) {
  const auto line = matrix[i].to(at::kDouble).contiguous();
  return {line.data_ptr<double>(), line.data_ptr<double>() + line.numel()};
}

double dot(const Vector& a, const Vector& b) { return std::inner_product(a.begin(), a.end(), b.begin(), 0.0); }

Vector standard(const Vector& v) {
  const double n = static_cast<double>(v.size());
  const double mean = std::accumulate(v.begin(), v.end(), 0.0) / n;
  double variance = 0;
  for (const double value : v) variance += (value - mean) * (value - mean) / n;
  Vector out;
  for (const double value : v) out.push_back((value - mean) / std::sqrt(variance + 1e-5));
  return out;
}

// A site: experts[z] (undefined a: absent) and directions[z] (undefined: no candidate).
struct Example {
  std::vector<LowRank> experts;
  std::vector<at::Tensor> directions;
  int64_t d_in = 24, d_out = 20;
};

Example example(const std::vector<int64_t>& ranks, const std::vector<bool>& gated) {
  Example e;
  for (size_t z = 0; z < ranks.size(); ++z) {
    LowRank pair;
    if (ranks[z] > 0)
      pair = {normal({ranks[z], e.d_in}, 10 + z), normal({e.d_out, ranks[z]}, 100 + z), 0.3 + 0.1 * double(z), {}};
    e.experts.push_back(pair);
    e.directions.push_back(gated[z] && ranks[z] > 0 ? normal({e.d_in}, 200 + z) : at::Tensor());
  }
  return e;
}

RoutedSite site_of(const Example& e, Scoring scoring) {
  RoutedSite site = stack_experts(e.experts);
  std::vector<int> candidates;
  std::vector<at::Tensor> directions;
  for (size_t z = 0; z < e.experts.size(); ++z)
    if (e.directions[z].defined()) {
      candidates.push_back(static_cast<int>(z));
      directions.push_back(scoring == Scoring::phatgoose ? standardise(e.directions[z]) : e.directions[z]);
    }
  set_candidates(site, candidates, directions);
  return site;
}

// y[t] of the design's section 3, one number at a time; also who was chosen.
std::pair<at::Tensor, std::vector<std::vector<int>>> brute_force(const Example& e, const at::Tensor& x, Scoring scoring,
                                                                 int64_t k) {
  auto y = at::zeros({x.size(0), e.d_out}, at::kDouble);
  std::vector<std::vector<int>> chosen;
  const double root = std::sqrt(static_cast<double>(e.d_in));
  for (int64_t t = 0; t < x.size(0); ++t) {
    const Vector xt = row(x, t);
    std::vector<std::pair<double, int>> scores;  // (-score, expert): ascending order is ours
    for (size_t z = 0; z < e.experts.size(); ++z) {
      if (!e.directions[z].defined()) continue;
      const Vector v = row(e.directions[z].unsqueeze(0), 0);
      double score = 0;
      if (scoring == Scoring::phatgoose) score = dot(standard(xt), standard(v)) / root;
      if (scoring == Scoring::arrow_mttl) score = std::abs(dot(xt, v));
      if (scoring == Scoring::arrow_phatgoose) score = std::abs(dot(xt, v)) / (10 * root);
      scores.emplace_back(-score, static_cast<int>(z));
    }
    std::sort(scores.begin(), scores.end());
    if (k > 0 && static_cast<int64_t>(scores.size()) > k) scores.resize(static_cast<size_t>(k));
    double sum = 0;
    for (const auto& [minus, z] : scores) sum += std::exp(-minus);
    chosen.emplace_back();
    for (const auto& [minus, z] : scores) {
      chosen.back().push_back(z);
      const LowRank& expert = e.experts[static_cast<size_t>(z)];
      Vector h;
      for (int64_t j = 0; j < expert.a.size(0); ++j) h.push_back(dot(row(expert.a, j), xt));
      for (int64_t o = 0; o < e.d_out; ++o) y[t][o] += std::exp(-minus) / sum * expert.scale * dot(row(expert.b, o), h);
    }
  }
  return {y, chosen};
}

void expect_same(const Example& e, Scoring scoring, int64_t k) {
  const auto x = normal({7, e.d_in}, 1);
  const RoutedSite site = site_of(e, scoring);
  const TokenRouting routed = route(x, site, scoring, k);
  const auto [expected, chosen] = brute_force(e, x, scoring, k);
  for (int64_t t = 0; t < x.size(0); ++t) {
    ASSERT_EQ(routed.experts.size(1), static_cast<int64_t>(chosen[static_cast<size_t>(t)].size()));
    for (size_t j = 0; j < chosen[static_cast<size_t>(t)].size(); ++j)
      EXPECT_EQ(routed.experts[t][static_cast<int64_t>(j)].item<int64_t>(), chosen[static_cast<size_t>(t)][j]);
  }
  const auto before = normal({7, e.d_out}, 2);
  auto y = before.clone();
  add_routed(x, y, site, routed);
  const auto error = (y.to(at::kDouble) - before.to(at::kDouble) - expected).norm().item<double>();
  EXPECT_LE(error, 1e-5 * (1 + expected.norm().item<double>()));
}

TEST(Routing, equals_brute_force_for_every_scoring_and_k) {
  const Example e = example({4, 8, 64, 4, 16}, {true, true, true, true, true});
  for (const Scoring scoring : {Scoring::phatgoose, Scoring::arrow_mttl, Scoring::arrow_phatgoose})
    for (const int64_t k : {1, 2, 3, 5, 9, 0}) expect_same(e, scoring, k);
}

TEST(Routing, one_expert) { expect_same(example({8}, {true}), Scoring::phatgoose, 2); }

TEST(Routing, absent_and_ungated_experts_take_no_part) {
  expect_same(example({4, 0, 8, 64, 0}, {true, true, false, true, false}), Scoring::phatgoose, 2);
  expect_same(example({4, 0, 8}, {true, false, false}), Scoring::phatgoose, 2);  // fewer candidates than k
}

TEST(Routing, no_candidates_is_the_base_alone) {
  expect_same(example({0, 0}, {false, false}), Scoring::phatgoose, 2);
  expect_same(example({4, 4}, {false, false}), Scoring::phatgoose, 2);
}

// So many columns that rows are sorted by expert instead of multiplied with the whole stack.
TEST(Routing, sorted_rows_equal_brute_force) {
  const std::vector<int64_t> ranks = {64, 64, 4, 64, 64, 64, 8, 64, 64, 64, 0, 64};
  Example e = example(ranks, std::vector<bool>(ranks.size(), true));
  e.directions[7] = at::Tensor();
  expect_same(e, Scoring::phatgoose, 2);
  expect_same(e, Scoring::arrow_mttl, 3);
}

TEST(Routing, equal_gates_are_uniform_over_the_first_k) {
  for (const size_t n : {2, 5, 9, 33}) {
    Example e = example(std::vector<int64_t>(n, 4), std::vector<bool>(n, true));
    for (auto& gate : e.directions) gate = e.directions[0];
    const auto x = normal({13, e.d_in}, 3);
    const TokenRouting routed = route(x, site_of(e, Scoring::phatgoose), Scoring::phatgoose, 2);
    for (int64_t t = 0; t < x.size(0); ++t)
      for (int64_t j = 0; j < 2; ++j) {
        EXPECT_EQ(routed.experts[t][j].item<int64_t>(), j);
        EXPECT_EQ(routed.weights[t][j].item<float>(), 0.5f);
      }
  }
}

TEST(Routing, ties_go_to_the_lower_number) {
  Example e = example({4, 4, 4, 4}, {true, true, true, true});
  e.directions[3] = e.directions[1];
  const auto x = normal({50, e.d_in}, 4);
  expect_same(e, Scoring::phatgoose, 2);
  const TokenRouting routed = route(x, site_of(e, Scoring::phatgoose), Scoring::phatgoose, 0);
  for (int64_t t = 0; t < x.size(0); ++t) {
    int64_t place_1 = 0, place_3 = 0;
    for (int64_t j = 0; j < 4; ++j) {
      if (routed.experts[t][j].item<int64_t>() == 1) place_1 = j;
      if (routed.experts[t][j].item<int64_t>() == 3) place_3 = j;
    }
    EXPECT_EQ(place_3, place_1 + 1);
  }
}

TEST(Routing, no_rows) {
  const Example e = example({4, 8}, {true, true});
  const RoutedSite site = site_of(e, Scoring::phatgoose);
  auto y = at::zeros({0, e.d_out});
  const auto x = at::zeros({0, e.d_in});
  add_routed(x, y, site, route(x, site, Scoring::phatgoose, 2));
}

TEST(Routing, bf16_scores_are_taken_in_fp32) {
  const Example e = example({4, 8, 16}, {true, true, true});
  const auto x = normal({9, e.d_in}, 5).to(at::kBFloat16);
  const RoutedSite site = site_of(e, Scoring::phatgoose);
  const TokenRouting half = route(x, site, Scoring::phatgoose, 2),
                     full = route(x.to(at::kFloat), site, Scoring::phatgoose, 2);
  EXPECT_TRUE(at::equal(half.experts, full.experts));
  EXPECT_TRUE(at::equal(half.weights, full.weights));
}

TEST(Arrow, direction_is_the_top_right_singular_vector) {
  for (const int64_t rank : {1, 4, 16, 40}) {  // 40: wider than the site
    const auto a = normal({rank, 24}, 6), b = normal({20, rank}, 7);
    const auto v = arrow_direction(a, b).to(at::kDouble);
    const auto product = at::matmul(b.to(at::kDouble), a.to(at::kDouble));
    const auto top = std::get<1>(at::linalg_svd(product))[0].item<double>();
    EXPECT_NEAR(v.norm().item<double>(), 1, 1e-6);
    EXPECT_NEAR(at::matmul(product, v).norm().item<double>(), top, 1e-5 * top);
  }
  EXPECT_EQ(arrow_direction(normal({4, 24}, 6), at::zeros({20, 4})).norm().item<float>(), 0);
}

}  // namespace
}  // namespace gaggle
