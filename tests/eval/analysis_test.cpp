// Numbers of an analysis from sums by hand: sites without tokens, tasks without an expert, sides that differ in length.
#include "eval/analysis.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/file.h"

namespace gaggle {
namespace {

// Two sites in layer 0, of 4 tokens and of 2; one in layer 1 where nothing is routed.
RoutingSums sums_by_hand() {
  RoutingSums sums;
  sums.sites.resize(3);
  sums.sites[0] = {{4, {1, 3}}, 2.0, 3};
  sums.sites[1] = {{2, {2, 0}}, 0.5, 0};
  sums.sites[2] = {{0, {0, 0}}, 0, 0};
  sums.classes[0] = {6, {3, 3}};
  sums.parts[1] = {6, {3, 3}};
  return sums;
}
const std::vector<Site> sites_by_hand = {{0, "a", "a", 0, 4, 4}, {1, "b", "b", 0, 4, 4}, {2, "c", "c", 1, 4, 4}};

TEST(RoutingMeasures, AreMeansOverTokensSitesAndLayers) {
  const RoutingMeasures measures = measures_of(sums_by_hand(), sites_by_hand, 1);
  EXPECT_EQ(measures.weights[0], (std::vector<double>{0.25, 0.75}));
  EXPECT_EQ(measures.weights[1], (std::vector<double>{1, 0}));
  EXPECT_TRUE(measures.weights[2].empty());
  EXPECT_EQ(measures.share, (std::vector<double>{0.5, 0.5}));
  const double h = -0.25 * std::log(0.25) - 0.75 * std::log(0.75);
  EXPECT_DOUBLE_EQ(measures.entropy.by_site[0], h);
  EXPECT_EQ(measures.entropy.by_site[1], 0);
  EXPECT_DOUBLE_EQ(measures.entropy.by_layer[0], h / 2);
  EXPECT_DOUBLE_EQ(measures.entropy.mean, h / 2);
  EXPECT_DOUBLE_EQ(measures.token_entropy.by_site[0], 0.5);
  EXPECT_DOUBLE_EQ(measures.token_entropy.mean, 2.5 / 6);  // of all tokens, not of all sites
  EXPECT_DOUBLE_EQ(measures.own_first.by_layer[0], 0.5);
  EXPECT_NEAR(measures.oracle_divergence.by_site[0], -std::log(0.75 * (1 - 1e-6) + 0.5e-6), 1e-12);
  EXPECT_NEAR(measures.oracle_divergence.by_site[1], -std::log(0.5e-6), 1e-9);
  for (const BySites* of :
       {&measures.entropy, &measures.token_entropy, &measures.own_first, &measures.oracle_divergence})
    EXPECT_TRUE(std::isnan(of->by_site[2]) && std::isnan(of->by_layer[1]));
}

TEST(RoutingMeasures, OfATaskWithoutAnExpertNothingIsItsOwn) {
  const RoutingMeasures measures = measures_of(sums_by_hand(), sites_by_hand, -1);
  EXPECT_TRUE(std::isnan(measures.own_first.mean));
  EXPECT_TRUE(std::isnan(measures.oracle_divergence.mean));
  EXPECT_FALSE(std::isnan(measures.entropy.mean));
}

TEST(Divergence, IsOverTheSitesThatBothHaveAndFinite) {
  const RoutingSums a = sums_by_hand();
  RoutingSums b = a;
  b.sites[0].weight = {8, 8};  // weights count by their ratios
  b.sites[1] = {{0, {0, 0}}, 0, 0};
  const double expected = 0.25 * std::log(0.25 / 0.5) + 0.75 * std::log(0.75 / 0.5);
  EXPECT_NEAR(divergence(a, b), expected, 1e-5);
  EXPECT_NE(divergence(a, b), divergence(b, a));
  EXPECT_EQ(divergence(a, a), 0);
  b.sites[0].weight = {0, 1};
  EXPECT_NEAR(divergence(a, b), 0.25 * std::log(0.25 / 0.5e-6) + 0.75 * std::log(0.75), 1e-4);
  b.sites[0].tokens = 0, b.sites[0].weight = {0, 0};
  EXPECT_TRUE(std::isnan(divergence(a, b)));
}

TEST(RoutedExamples, ComeBackAsTheyWentAndAddUp) {
  const fs::path path = fs::path(testing::TempDir()) / "gaggle_analysis_test.json";
  RoutedExamples routed{2, 5, 0.1 + 0.2, sums_by_hand(), {}};
  routed.sums.sites[0].weight[0] = 1.0 / 3;
  routed.texts.push_back(text_json("x", {{" dog", TokenClass::word_start, TokenPart::answer, 1, -1, 0.99996, 0}}));
  write_file_atomic(path, routed_json(routed));
  const RoutedExamples back = read_routed(path);
  EXPECT_EQ(routed_json(back), routed_json(routed));
  EXPECT_EQ(back.sums.sites[0].weight[0], 1.0 / 3);
  EXPECT_EQ(back.texts[0]["weight"][0], 1.0);
  EXPECT_TRUE(back.texts[0]["second"][0].is_null());
  RoutedExamples twice = back;
  add(twice, back);
  EXPECT_EQ(twice.sums.sites[0].tokens, 8);
  EXPECT_EQ(twice.sums.sites[0].own_first, 6);
  EXPECT_EQ(twice.sums.parts[1].weight[1], 6);
  EXPECT_DOUBLE_EQ(twice.nll_per_token(), routed.nll_per_token());
  EXPECT_EQ(twice.texts.size(), 2u);
  routed.nll = NAN;
  write_file_atomic(path, routed_json(routed));
  EXPECT_TRUE(std::isnan(read_routed(path).nll));
  write_file_atomic(path, "{}");
  EXPECT_THROW(read_routed(path), UserError);
}

}  // namespace
}  // namespace gaggle
