// Grams against brute force: skill gradients w ⊗ G stacked into one vector a task, and dot products.
#include "alignment/gram.h"

#include <mutex>

#include "made.h"

namespace gaggle {
namespace {

using test::make_batch;
using test::make_gradients;
using test::make_sites;

constexpr int64_t tasks = 5;
constexpr std::array both = {GradientSpace::mixed, GradientSpace::skill};

// One site's gradient of one task in the given space, fp64, as one long vector.
at::Tensor stacked(const AlignedSite& site, const at::Tensor& flat, const at::Tensor& weights, GradientSpace space) {
  const at::Tensor of_site = flat.narrow(0, site.offset, site.size()).to(at::kDouble);
  if (space == GradientSpace::mixed) return of_site;
  std::vector<at::Tensor> parts;
  for (int64_t q = 0; q < site.heads; ++q)
    for (int64_t k = 0; k < site.skills; ++k) {
      const double w = weights[q][k].item<double>();
      parts.push_back(w * of_site.narrow(0, q * site.a_size, site.a_size));
      parts.push_back(w * of_site.narrow(0, site.heads * site.a_size + q * site.b_size, site.b_size));
    }
  return at::cat(parts);
}

Grams brute_force(const std::vector<AlignedSite>& sites, const TaskGradients& sum, const BatchTasks& batch,
                  GradientSpace space) {
  const auto count = static_cast<int64_t>(sites.size());
  Grams grams = {at::zeros({count, tasks, tasks}, at::kDouble), at::zeros({count, tasks, tasks}, at::kDouble)};
  const at::Tensor odd = sum.all.to(at::kDouble) - sum.even;
  for (int64_t s = 0; s < count; ++s) {
    const auto at = [&](const at::Tensor& flat, int64_t t, double share) {
      const auto site = static_cast<size_t>(s);
      return stacked(sites[site], flat[t], sum.weights[site][t], space) / share;
    };
    const auto even_share = [&](int64_t t) { return batch.even_share[static_cast<size_t>(t)]; };
    const auto odd_share = [&](int64_t t) { return batch.odd_share[static_cast<size_t>(t)]; };
    for (int64_t t = 0; t < tasks; ++t)
      for (int64_t u = 0; u < tasks; ++u) {
        grams.full[s][t][u] =
            at(sum.all, t, even_share(t) + odd_share(t)).dot(at(sum.all, u, even_share(u) + odd_share(u)));
        grams.halves[s][t][u] = 0.5 * (at(sum.even, t, even_share(t)).dot(at(odd, u, odd_share(u))) +
                                       at(odd, t, odd_share(t)).dot(at(sum.even, u, even_share(u))));
      }
  }
  return grams;
}

TaskGradients sum_of_ranks(const std::vector<AlignedSite>& sites, int ranks) {
  TaskGradients sum = make_gradients(sites, tasks, 0);
  sum.all = sum.all.to(at::kDouble), sum.even = sum.even.to(at::kDouble);
  for (int r = 1; r < ranks; ++r) {
    const TaskGradients part = make_gradients(sites, tasks, r);
    sum.all += part.all, sum.even += part.even;
  }
  return sum;
}

class GramOnRanks : public testing::TestWithParam<int> {};
TEST_P(GramOnRanks, EqualsBruteForceInBothSpaces) {
  const std::vector<AlignedSite> sites = make_sites(7, 4, 3);
  const BatchTasks batch = make_batch(tasks);
  std::map<GradientSpace, Grams> exact;
  for (const GradientSpace space : both)
    exact[space] = brute_force(sites, sum_of_ranks(sites, GetParam()), batch, space);
  std::mutex expecting;
  run_as_threads(GetParam(), 60, [&](Communicator& group) {
    const auto grams = task_grams(sites, make_gradients(sites, tasks, group.rank()), batch, both, group);
    const std::lock_guard lock(expecting);
    for (const GradientSpace space : both) {
      EXPECT_LT(test::worst(grams.at(space).full, exact[space].full), 1e-5) << name_of(space);
      EXPECT_LT(test::worst(grams.at(space).halves, exact[space].halves), 1e-5) << name_of(space);
    }
  });
}
INSTANTIATE_TEST_SUITE_P(SomeRanks, GramOnRanks, testing::Values(1, 2, 3, 5, 9));

// Every site is summed once, on one rank, in as many rounds as the rank with the most sites has.
TEST(SiteSums, EverySiteIsTheSumOverRanks) {
  const std::vector<AlignedSite> sites = make_sites(11, 2, 2);
  std::mutex expecting;
  std::map<size_t, at::Tensor> sums;
  run_as_threads(3, 60, [&](Communicator& group) {
    const auto keep = [&](size_t s, const at::Tensor& all, const at::Tensor& even) {
      const std::lock_guard lock(expecting);
      EXPECT_TRUE(sums.emplace(s, at::stack({all, even})).second);
    };
    for_each_summed_site(sites, make_gradients(sites, tasks, group.rank()), group, keep);
  });
  EXPECT_EQ(sums.size(), sites.size());
  for (const auto& [s, sum] : sums) {
    at::Tensor expected = at::zeros_like(sum);
    for (int rank = 0; rank < 3; ++rank) {
      const TaskGradients of_rank = make_gradients(sites, tasks, rank);
      for (int64_t half : {0, 1})
        expected[half] += (half == 0 ? of_rank.all : of_rank.even).narrow(1, sites[s].offset, sites[s].size());
    }
    EXPECT_TRUE(at::equal(sum, expected));
  }
}

TEST(SiteSums, SitesAreDealtOnceAndEvenly) {
  const std::vector<AlignedSite> sites = make_sites(20, 1, 1);
  const auto dealt = deal_sites(sites, 3);
  std::vector<int> seen(sites.size(), 0);
  int64_t lightest = values_of(sites), heaviest = 0;
  for (const auto& of_rank : dealt) {
    int64_t values = 0;
    for (const size_t s : of_rank) ++seen[s], values += sites[s].size();
    lightest = std::min(lightest, values), heaviest = std::max(heaviest, values);
  }
  EXPECT_EQ(seen, std::vector<int>(sites.size(), 1));
  EXPECT_LE(heaviest - lightest, 40);  // the largest site
}

// Routing sampled per example: no w per task, so the skills' own gradients Σ_e w^e ⊗ G^e are given. Their Gram
// is the double sum over examples of the identity.
TEST(Gram, SkillGradientsGivenDirectly) {
  constexpr int64_t heads = 2, skills = 3, examples = 4;
  const std::vector<AlignedSite> sites = make_sites(3, heads, skills);
  const std::vector<AlignedSite> direct = make_sites(3, heads, skills, skills);
  BatchTasks batch = make_batch(tasks);
  batch.even_share.assign(tasks, 0.5), batch.odd_share.assign(tasks, 0.5);
  TaskGradients given{
      GradientSpace::skill, at::zeros({tasks, values_of(direct)}), at::zeros({tasks, values_of(direct)}), {}};
  at::Tensor exact = at::zeros({3, tasks, tasks}, at::kDouble), exact_halves = at::zeros_like(exact);

  std::vector<TaskGradients> of_example;
  std::vector<std::vector<at::Tensor>> w;  // [examples][sites] [T, h, K]
  for (int64_t e = 0; e < examples; ++e) {
    of_example.push_back(make_gradients(sites, tasks, static_cast<int>(e)));
    w.emplace_back();
    for (size_t s = 0; s < sites.size(); ++s)
      w.back().push_back(
          at::softmax(test::normal("per example", static_cast<uint64_t>(e) * 10 + s, {tasks, heads, skills}), 2));
  }
  for (int64_t s = 0; s < 3; ++s) {
    const AlignedSite &site = sites[static_cast<size_t>(s)], &to = direct[static_cast<size_t>(s)];
    for (int64_t e = 0; e < examples; ++e) {
      const at::Tensor g = of_example[static_cast<size_t>(e)].all.narrow(1, site.offset, site.size());
      const at::Tensor& we = w[static_cast<size_t>(e)][static_cast<size_t>(s)];
      const auto expanded = [&](int64_t from, int64_t size) {  // [T, h · K · size]
        return (we.unsqueeze(3) * g.narrow(1, from, heads * size).reshape({tasks, heads, 1, size})).flatten(1);
      };
      const at::Tensor both_parts = at::cat({expanded(0, site.a_size), expanded(heads * site.a_size, site.b_size)}, 1);
      given.all.narrow(1, to.offset, to.size()) += both_parts;
      if (e % 2 == 0) given.even.narrow(1, to.offset, to.size()) += both_parts;
      for (int64_t f = 0; f < examples; ++f) {
        const at::Tensor other = of_example[static_cast<size_t>(f)].all.narrow(1, site.offset, site.size());
        const at::Tensor& wf = w[static_cast<size_t>(f)][static_cast<size_t>(s)];
        for (int64_t q = 0; q < heads; ++q) {
          const auto head = [&](const at::Tensor& x) {
            return at::cat({x.narrow(1, q * site.a_size, site.a_size),
                            x.narrow(1, heads * site.a_size + q * site.b_size, site.b_size)},
                           1)
                .to(at::kDouble);
          };
          const at::Tensor ww = at::mm(we.select(1, q).to(at::kDouble), wf.select(1, q).to(at::kDouble).t());
          const at::Tensor product = ww * at::mm(head(g), head(other).t());
          exact[s] += product;
          if (e % 2 != f % 2) exact_halves[s] += product / 2 / 0.25;
        }
      }
    }
  }
  const std::array skill = {GradientSpace::skill};
  const Grams grams = task_grams(direct, given, batch, skill, *make_self()).at(GradientSpace::skill);
  EXPECT_LT(((grams.full - exact).norm() / exact.norm()).item<double>(), 1e-5);
  EXPECT_LT(((grams.halves - exact_halves).norm() / exact_halves.norm()).item<double>(), 1e-5);
  EXPECT_THROW(task_grams(direct, given, batch, both, *make_self()), std::logic_error);
}

TEST(Gram, ATaskWithoutOddSamplesHasNoHalves) {
  const std::vector<AlignedSite> sites = make_sites(2, 2, 2);
  TaskGradients gradients = make_gradients(sites, tasks, 0);
  BatchTasks batch = make_batch(tasks);
  gradients.even[1] = gradients.all[1];
  batch.odd_samples[1] = 0, batch.odd_share[1] = 0;
  const auto grams = task_grams(sites, gradients, batch, both, *make_self());
  EXPECT_EQ(grams.at(GradientSpace::skill).halves.select(1, 1)[0][1].item<double>(), 0);
  EXPECT_TRUE(at::isfinite(grams.at(GradientSpace::mixed).halves).all().item<bool>());
  EXPECT_GT(grams.at(GradientSpace::mixed).full[0][1][1].item<double>(), 0);
}

}  // namespace
}  // namespace gaggle
