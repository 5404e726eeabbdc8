// Routing tables made by hand, and the order of tasks.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "alignment/linkage.h"
#include "alignment/routing_record.h"

namespace gaggle {
namespace {

RoutingSite site_of(std::string kind, int64_t heads, int64_t skills, std::vector<double> logits) {
  const auto width = heads * skills;
  return {"layers.0." + kind, kind, heads, skills, at::tensor(logits, at::kDouble).view({-1, width})};
}

constexpr double on = 40, off = -40;  // σ is 1 and 0 to 1e-17

TEST(RoutingTable, UniformIsNeitherDiscreteNorSparse) {
  const RoutingNumbers numbers = routing_numbers(site_of("q_proj", 2, 2, std::vector<double>(12, 0.0)));
  EXPECT_NEAR(numbers.discreteness, 0, 1e-12);
  EXPECT_DOUBLE_EQ(numbers.active, 1);
  EXPECT_DOUBLE_EQ(numbers.sparsity, 0);
  EXPECT_NEAR(numbers.largest, 0.5, 1e-9);
  EXPECT_NEAR(numbers.usage, 1, 1e-12);
}

// Four skills, two tasks; each uses one: half of the inventory lies idle.
TEST(RoutingTable, OneSkillATask) {
  const RoutingNumbers numbers = routing_numbers(site_of("q_proj", 1, 4, {on, off, off, off, off, on, off, off}));
  EXPECT_NEAR(numbers.discreteness, 1, 1e-12);
  EXPECT_DOUBLE_EQ(numbers.active, 0.25);
  EXPECT_DOUBLE_EQ(numbers.sparsity, 0.75);
  EXPECT_NEAR(numbers.largest, 1, 1e-9);
  EXPECT_NEAR(numbers.usage, 0.5, 1e-12);  // log 2 / log 4
}

// Usage is per head: two heads that use one skill each do not make up for one another.
TEST(RoutingTable, UsageIsPerHead) {
  EXPECT_NEAR(routing_numbers(site_of("q_proj", 2, 2, {on, off, off, on})).usage, 0, 1e-12);
  EXPECT_NEAR(routing_numbers(site_of("q_proj", 1, 1, {3})).usage, 1, 1e-12);
  const at::Tensor w = routing_weights(site_of("q_proj", 2, 2, {0, off, std::log(3.0), 0}));
  EXPECT_NEAR(w[0][0][0].item<double>(), 1, 1e-9);
  EXPECT_NEAR(w[0][1][0].item<double>(), 0.6, 1e-9);  // 0.75 / (0.75 + 0.5)
}

TEST(RoutingTable, KindsAndAll) {
  const std::vector<RoutingSite> sites = {site_of("q_proj", 1, 2, {on, off, on, off}),
                                          site_of("v_proj", 1, 2, {0, 0, 0, 0}),
                                          site_of("q_proj", 1, 2, {on, off, off, on})};
  const auto numbers = routing_by_kind(sites, routing_by_site(sites));
  ASSERT_EQ(numbers.size(), 3u);
  EXPECT_EQ(numbers[0].name, "q_proj");
  EXPECT_NEAR(numbers[0].usage, 0.5, 1e-12);
  EXPECT_NEAR(numbers[1].discreteness, 0, 1e-12);
  EXPECT_EQ(numbers[2].name, "all");
  EXPECT_NEAR(numbers[2].discreteness, 2.0 / 3, 1e-12);
}

TEST(RoutingTable, TasksThatRouteAlike) {
  const std::vector<RoutingSite> sites = {site_of("q_proj", 1, 2, {on, off, off, on, on, off, off, on}),
                                          site_of("v_proj", 1, 2, {2, -2, -2, 2, 2, -1, -1, 2})};
  const at::Tensor similarity = routing_similarity(sites);
  EXPECT_GT(similarity[0][2].item<double>(), 0.95);
  EXPECT_GT(similarity[1][3].item<double>(), 0.95);
  EXPECT_LT(similarity[0][1].item<double>(), -0.95);
  EXPECT_EQ(linkage_order(similarity), (std::vector<int>{0, 2, 1, 3}));
  const std::string text = routing_page(sites, {"add", "cat", "sub", "dog"}).text();
  EXPECT_LT(text.find("sub"), text.find("cat")) << text;
  EXPECT_NE(text.find("discreteness"), std::string::npos) << text;
}

std::vector<nlohmann::json> lines_of(const std::filesystem::path& file) {
  std::vector<nlohmann::json> lines;
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

// For who draws the table: all of a small one; of a large one some sites, so that a line stays small.
TEST(RoutingRecord, KeepsTheWeightsOfEnoughSites) {
  const auto folder = std::filesystem::temp_directory_path() / fmt::format("gaggle_weights_{}", getpid());
  std::filesystem::remove_all(folder);
  const RoutingSite small = site_of("q_proj", 2, 2, {0, 0, on, off, off, on, 0, 0});
  record_routing(folder, 0, std::vector{small});
  std::vector<RoutingSite> large;
  for (int i = 0; i < 70; ++i)
    large.push_back(site_of("site" + std::to_string(i), 1, 512, std::vector<double>(2048, 0.0)));
  record_routing(folder, 1, large);
  const auto lines = lines_of(folder / "routing.jsonl");
  std::filesystem::remove_all(folder);
  const auto rows = lines.at(0).at("weights").at("layers.0.q_proj");
  ASSERT_EQ(rows.size(), 2u);
  const at::Tensor expected = routing_weights(small).flatten(1);
  for (int64_t task = 0; task < 2; ++task)
    for (int64_t k = 0; k < 4; ++k)
      EXPECT_NEAR(rows[static_cast<size_t>(task)][static_cast<size_t>(k)].get<double>(),
                  expected[task][k].item<double>(), 5e-4);
  const auto& kept = lines.at(1).at("weights");
  EXPECT_EQ(kept.size(), 24u) << "of 70 sites of 2,048 weights every third";
  EXPECT_TRUE(kept.contains("layers.0.site0") && kept.contains("layers.0.site69"));
}

// What is written comes back; lines after the step that a run goes on from are gone.
TEST(RoutingRecord, GoesOnFromAStep) {
  const auto folder = std::filesystem::temp_directory_path() / fmt::format("gaggle_routing_{}", getpid());
  std::filesystem::remove_all(folder);
  const std::vector<RoutingSite> sites = {site_of("q_proj", 1, 4, {on, off, off, off, off, on, off, off}),
                                          site_of("v_proj", 1, 4, std::vector<double>(8, 0.0))};
  for (const int64_t step : {0, 5, 10}) record_routing(folder, step, sites);
  truncate_routing(folder, 5);
  std::ofstream(folder / "routing.jsonl", std::ios::app) << "{\"step\": 1";  // killed while it wrote
  const std::vector<RoutingStep> steps = read_routing(folder);
  ASSERT_EQ(steps.size(), 2u);
  EXPECT_EQ(steps[1].step, 5);
  const std::vector<RoutingNumbers> expected = routing_by_kind(sites, routing_by_site(sites));
  for (size_t k = 0; k < expected.size(); ++k) {
    EXPECT_EQ(steps[1].by_kind[k].name, expected[k].name);
    for (const RoutingField& field : routing_fields)
      EXPECT_DOUBLE_EQ(steps[1].by_kind[k].*field.value, expected[k].*field.value);
  }
  EXPECT_NE(routing_over_training_table(steps).text().find("0.500"), std::string::npos);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace gaggle
