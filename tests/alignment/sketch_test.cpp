// Count-sketches: the error they promise, that they add, and that nothing but names and places keys them.
#include "alignment/sketch.h"

#include "adapter/poly.h"
#include "alignment/similarity.h"
#include "alignment/statistics.h"
#include "made.h"

namespace gaggle {
namespace {

using test::make_gradients;
using test::make_sites;
using test::make_weights;
using test::normal;

constexpr int64_t sketched_tasks = 3;

std::vector<AlignedSite> wide_sites(int64_t skills) {
  std::vector<AlignedSite> sites = make_sites(4, 2, skills);
  int64_t offset = 0;
  for (AlignedSite& site : sites) {
    site.a_size *= 40, site.b_size *= 40, site.offset = offset;
    offset += site.size();
  }
  return sites;
}

at::Tensor total_gram(const at::Tensor& sketches) {
  const at::Tensor s = sketches.to(at::kDouble);
  return at::mm(s, s.t());
}

// Over many seeds: no bias, and a standard error that is the stated one and halves with four times the dims.
TEST(Sketch, ErrorFallsAsStated) {
  const std::vector<AlignedSite> sites = wide_sites(3);
  TaskGradients gradients = make_gradients(sites, sketched_tasks, 0);
  gradients.all += 2;  // buckets without signs would be biased by it
  for (const bool weighted : {false, true}) {
    at::Tensor exact = at::zeros({sketched_tasks, sketched_tasks}, at::kDouble);
    for (size_t s = 0; s < sites.size(); ++s) {
      const at::Tensor part = gradients.all.narrow(1, sites[s].offset, sites[s].size());
      BatchTasks batch = test::make_batch(sketched_tasks);
      batch.even_share.assign(sketched_tasks, 0.5), batch.odd_share.assign(sketched_tasks, 0.5);
      const Grams products = head_products(sites[s], part, part, batch);
      exact += weighted ? skill_gram(products.full, gradients.weights[s]) : products.full.sum(0);
    }
    const at::Tensor squares = exact.diagonal();
    double error_before = 0;
    for (const int64_t dims : {64, 256, 1024}) {
      constexpr int seeds = 300;
      at::Tensor sum = at::zeros_like(exact), squared_errors = at::zeros_like(exact);
      for (uint64_t seed = 0; seed < seeds; ++seed) {
        const SketchPlan plan = plan_sketch(sites, Slots::one, dims, weighted, seed, at::kCPU);
        const at::Tensor gram = total_gram(sketch_of(plan, gradients.all, gradients.weights));
        sum += gram;
        squared_errors += (gram - exact).square();
      }
      const at::Tensor stated = ((at::outer(squares, squares) + exact * exact) / static_cast<double>(dims)).sqrt();
      const at::Tensor measured = (squared_errors / seeds).sqrt();
      // The mean of `seeds` has an error √seeds times smaller; the spread of so many is known to 4 %.
      EXPECT_LT(((sum / seeds - exact).abs() / (stated / std::sqrt(seeds))).max().item<double>(), 4.5);
      const double ratio = (measured / stated).mean().item<double>();
      EXPECT_GT(ratio, 0.85) << dims;
      EXPECT_LT(ratio, 1.1) << dims;
      const double error = measured.mean().item<double>();
      if (error_before > 0) {
        EXPECT_NEAR(error / error_before, 0.5, 0.06) << dims;
      }
      error_before = error;
    }
  }
}

TEST(Sketch, IsLinear) {
  const std::vector<AlignedSite> sites = wide_sites(2);
  const TaskGradients first = make_gradients(sites, sketched_tasks, 0),
                      second = make_gradients(sites, sketched_tasks, 1);
  for (const Slots slots : {Slots::one, Slots::by_site}) {
    const SketchPlan plan = plan_sketch(sites, slots, 200, true, 7, at::kCPU);
    const at::Tensor apart = sketch_of(plan, first.all, first.weights) + sketch_of(plan, second.all, first.weights);
    EXPECT_TRUE(at::allclose(apart, sketch_of(plan, first.all + second.all, first.weights), 1e-4, 1e-3));
  }
}

// A site's sketch does not depend on which other sites there are.
TEST(Sketch, IsKeyedByNames) {
  std::vector<AlignedSite> sites = wide_sites(1);
  const at::Tensor gradient = normal("gradient", 0, {sites[1].size()});
  const SketchPlan all = plan_sketch(sites, Slots::one, 128, false, 3, at::kCPU);
  AlignedSite alone = sites[1];
  alone.offset = 0;
  const SketchPlan one = plan_sketch({alone}, Slots::one, 128, false, 3, at::kCPU);
  at::Tensor a = at::zeros({128}), b = at::zeros({128});
  add_to_sketch(all, 1, gradient, {}, a);
  add_to_sketch(one, 0, gradient, {}, b);
  EXPECT_TRUE(at::equal(a, b));
  EXPECT_GT(a.count_nonzero().item<int64_t>(), 100);
}

// Skill gradients w ⊗ G are sketched as if they stood there: each skill with signs of its own.
TEST(Sketch, WeighedSketchIsTheSumOverSkills) {
  const std::vector<AlignedSite> sites = make_sites(1, 2, 3);
  const at::Tensor g = normal("gradient", 0, {1, sites[0].size()});
  const SketchPlan plan = plan_sketch(sites, Slots::one, 16, true, 0, at::kCPU);
  at::Tensor sum = at::zeros({1, 16});
  const at::Tensor w = make_weights(sites, 1)[0];
  for (int64_t k = 0; k < 3; ++k) {
    at::Tensor only = at::zeros_like(w);
    only.select(2, k).copy_(w.select(2, k));
    sum += sketch_of(plan, g, {&only, 1});
  }
  EXPECT_TRUE(at::allclose(sum, sketch_of(plan, g, {&w, 1}), 1e-5, 1e-5));
}

// Sketches go through the same Grams as gradients, on several ranks too, and say how far off they are.
TEST(Sketch, GramsOfSketchesBySite) {
  const std::vector<AlignedSite> sites = wide_sites(3);
  const BatchTasks batch = test::make_batch(sketched_tasks);
  const SketchPlan plan = plan_sketch(sites, Slots::by_site, 4000, true, 0, at::kCPU);
  EXPECT_EQ(values_of(plan.slots), 4000);
  EXPECT_EQ(plan.slots.size(), sites.size());
  const std::array skill = {GradientSpace::skill};
  run_as_threads(2, 60, [&](Communicator& group) {
    const TaskGradients mine = make_gradients(sites, sketched_tasks, group.rank());
    const TaskGradients sketched{
        GradientSpace::skill, sketch_of(plan, mine.all, mine.weights), sketch_of(plan, mine.even, mine.weights), {}};
    const auto groups = site_groups(sites);
    const auto exact = task_grams(sites, mine, batch, skill, group).at(GradientSpace::skill);
    const auto about = task_grams(plan.slots, sketched, batch, skill, group).at(GradientSpace::skill);
    const at::Tensor off = cosines(group_grams(about.full, groups)) - cosines(group_grams(exact.full, groups));
    const at::Tensor errors = cosine_errors(about.full, plan.slots, groups[0].sites);
    EXPECT_LT((off[0].abs() / errors).max().item<double>(), 4);
    EXPECT_LT(typical_error(errors), 0.03);
    EXPECT_GT(typical_error(errors), 1 / std::sqrt(4000));
  });
}

TEST(Sketch, WhatFitsIsKeptExact) {
  EXPECT_TRUE(exact_fits(10, 1000, 80'000));
  EXPECT_FALSE(exact_fits(10, 1000, 79'999));
  EXPECT_THROW(plan_sketch(make_sites(4, 1, 1), Slots::by_site, 3, false, 0, at::kCPU), UserError);
}

// Experts that never met: their sketches of the same plan give the matrix and its error.
TEST(Similarity, OfTasksThatNeverMet) {
  const std::vector<AlignedSite> sites = wide_sites(1);
  const TaskGradients gradients = make_gradients(sites, sketched_tasks, 0);
  const SketchPlan plan = plan_sketch(sites, Slots::one, 2048, false, 0, at::kCPU);
  std::vector<at::Tensor> sent;
  for (int64_t t = 0; t < sketched_tasks; ++t) sent.push_back(sketch_of(plan, gradients.all.narrow(0, t, 1), {}));
  const TaskSimilarity similarity = task_similarity({"a", "b", "c"}, at::cat(sent));
  const at::Tensor exact = cosines(total_gram(gradients.all));
  EXPECT_LT(((similarity.cosine - exact).abs() / similarity.error).max().item<double>(), 4);
  EXPECT_NEAR(similarity.error[0][1].item<double>(),
              std::sqrt((1 + std::pow(similarity.cosine[0][1].item<double>(), 2)) / 2048), 1e-9);
  EXPECT_NE(similarity_page(similarity, 1).text().find("standard error of a cosine 0.02"), std::string::npos)
      << similarity_page(similarity, 1).text();
}

}  // namespace
}  // namespace gaggle
