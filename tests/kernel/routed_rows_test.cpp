// The CPU's kernel of routing against dense products in fp64: many experts, mixed ranks, types, and equal bits.
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <cmath>

#include "kernel/routing.h"
#include "made.h"

namespace gaggle {
namespace {

constexpr int64_t d_in = 75, d_out = 45;  // no multiples of a vector

// N experts of ranks 1 to 64 and a direction each; every fifth is absent, and the third is the second's twin.
struct Many {
  RoutedSite site;
  std::vector<at::Tensor> directions;  // [N]
};

Many many(size_t n, at::ScalarType type, Scoring scoring, bool twins = true) {
  std::vector<LowRank> experts(n);
  std::vector<int> candidates;
  std::vector<at::Tensor> given;
  Many made;
  made.directions.resize(n);
  for (size_t z = 0; z < n; ++z) {
    if (z % 5 == 3) continue;
    const int64_t rank = z % 7 == 0 ? 64 : 1 + static_cast<int64_t>(z) % 16;
    experts[z] = {values({rank, d_in}).div_(8).to(type),
                  values({d_out, rank}).div_(8).to(type),
                  0.5 + 0.125 * static_cast<double>(z % 3),
                  {}};
    made.directions[z] = twins && z == 2 ? made.directions[1] : at::randn({d_in}).div_(std::sqrt(d_in));
    if (scoring == Scoring::phatgoose && !(twins && z == 2)) made.directions[z] = standardise(made.directions[z]);
    candidates.push_back(static_cast<int>(z));
    given.push_back(made.directions[z]);
  }
  made.site = stack_experts(experts);
  set_candidates(made.site, candidates, given);
  return made;
}

// The scores of all candidates in fp64, [T, N]; of others far below.
at::Tensor exact_scores(const at::Tensor& x, const Many& made, Scoring scoring) {
  const at::Tensor wide = x.to(at::kDouble);
  at::Tensor scores = at::full({x.size(0), static_cast<int64_t>(made.directions.size())}, -1e9, at::kDouble);
  for (const int z : made.site.candidates) {
    const at::Tensor v = made.directions[static_cast<size_t>(z)].to(at::kDouble);
    const at::Tensor rows = scoring == Scoring::phatgoose ? standardise(wide) : wide;
    at::Tensor s = at::mv(rows, v);
    if (scoring == Scoring::phatgoose) s.div_(std::sqrt(static_cast<double>(d_in)));
    if (scoring == Scoring::arrow_mttl) s.abs_();
    if (scoring == Scoring::arrow_phatgoose) s.abs_().div_(10 * std::sqrt(static_cast<double>(d_in)));
    scores.select(1, z).copy_(s);
  }
  return scores;
}

// Σ of the experts that were chosen, by the weights that they got, in fp64.
at::Tensor exact_sum(const at::Tensor& x, const RoutedSite& site, const TokenRouting& routed) {
  at::Tensor weights = at::zeros({x.size(0), static_cast<int64_t>(site.experts.size())}, at::kDouble);
  weights.scatter_(1, routed.experts, routed.weights.to(at::kDouble));
  at::Tensor sum = at::zeros({x.size(0), d_out}, at::kDouble);
  for (size_t z = 0; z < site.experts.size(); ++z) {
    const LowRank& e = site.experts[z];
    if (!e.a.defined()) continue;
    const at::Tensor h = at::mm(x.to(at::kDouble), e.a.to(at::kDouble).t());
    sum += e.scale * weights.select(1, static_cast<int64_t>(z)).unsqueeze(1) * at::mm(h, e.b.to(at::kDouble).t());
  }
  return sum;
}

class RoutedRows : public testing::TestWithParam<at::ScalarType> {
 protected:
  void SetUp() override { at::manual_seed(1); }
};

TEST_P(RoutedRows, equal_the_loop_from_one_expert_to_512) {
  const at::ScalarType type = GetParam();
  for (const size_t n : {1, 2, 3, 9, 64, 255, 512})
    for (const int64_t k : {0, 1, 2, static_cast<int>(n)}) {
      if (k == 0 && n > 64) continue;  // as k = N
      const Scoring scoring = k == 1 ? Scoring::phatgoose : k == 2 ? Scoring::arrow_mttl : Scoring::arrow_phatgoose;
      const Many made = many(n, type, scoring, /*twins=*/n < 64);
      const int64_t taken = std::min(k == 0 ? 512 : k, static_cast<int64_t>(made.site.candidates.size()));
      const at::Tensor x = values({n > 64 ? 19 : 70, d_in}).to(type);
      const TokenRouting routed = route(x, made.site, scoring, k);
      const at::Tensor scores = exact_scores(x, made, scoring);
      const at::Tensor best = std::get<0>(at::topk(scores, taken)), found = scores.gather(1, routed.experts);
      EXPECT_LT((best - found).abs().max().item<double>(), 4e-6) << n << " " << k;
      EXPECT_LT(apart(routed.weights, at::softmax(best, 1)), 1e-5) << n << " " << k;

      const at::Tensor before = values({x.size(0), d_out}).to(type);
      at::Tensor y = before.clone();
      add_routed(x, y, made.site, routed);
      const at::Tensor exact = before.to(at::kDouble) + exact_sum(x, made.site, routed);
      EXPECT_LT(apart(y, exact), type == at::kFloat ? 1e-6 : 4e-3) << n << " " << k;
    }
}

TEST_P(RoutedRows, equal_scores_go_to_the_lower_number) {
  const Many made = many(40, GetParam(), Scoring::arrow_mttl);
  const at::Tensor x = values({50, d_in}).to(GetParam());
  const TokenRouting routed = route(x, made.site, Scoring::arrow_mttl, 0);
  for (int64_t t = 0; t < 50; ++t)
    for (int64_t j = 0; j < routed.experts.size(1); ++j)
      if (routed.experts[t][j].item<int64_t>() == 2) {
        ASSERT_GT(j, 0);
        EXPECT_EQ(routed.experts[t][j - 1].item<int64_t>(), 1);
        EXPECT_EQ(routed.weights[t][j - 1].item<float>(), routed.weights[t][j].item<float>());
      }
}

// On one thread and several, in company and alone.
TEST_P(RoutedRows, bits_depend_on_the_token_alone) {
  const at::ScalarType type = GetParam();
  const int threads = at::get_num_threads();
  for (const Scoring scoring : {Scoring::phatgoose, Scoring::arrow_mttl}) {
    const Many made = many(100, type, scoring, /*twins=*/scoring == Scoring::phatgoose);
    const at::Tensor x = values({131, d_in}).to(type), before = values({131, d_out}).to(type);
    const auto run = [&](int64_t first, int64_t count, at::Tensor& weights) {
      const at::Tensor rows = x.narrow(0, first, count).contiguous();
      at::Tensor y = before.narrow(0, first, count).clone();
      const TokenRouting routed = route(rows, made.site, scoring, 3);
      add_routed(rows, y, made.site, routed);
      weights = routed.weights;
      return y;
    };
    at::Tensor weights, others;
    at::set_num_threads(1);
    const at::Tensor y = run(0, 131, weights);
    for (const int n : {2, 3}) {
      at::set_num_threads(n);
      EXPECT_TRUE(at::equal(run(0, 131, others), y));
      EXPECT_TRUE(at::equal(others, weights));
    }
    for (const int64_t t : {0, 65, 130}) {
      EXPECT_TRUE(at::equal(run(t, 1, others), y.narrow(0, t, 1)));
      EXPECT_TRUE(at::equal(others, weights.narrow(0, t, 1)));
    }
    at::set_num_threads(threads);
  }
}

// Rough products choose who gets exact scores, where tokens are bf16; nothing of that may be seen in the result.
TEST(RoughScores, change_nothing) {
  at::manual_seed(2);
  for (const Scoring scoring : {Scoring::phatgoose, Scoring::arrow_mttl, Scoring::arrow_phatgoose})
    for (const size_t n : {130, 300}) {
      const Many made = many(n, at::kBFloat16, scoring, /*twins=*/false);
      at::Tensor x = values({200, d_in});
      x.narrow(0, 0, 50).add_(30);                                // a mean far from 0
      x.narrow(0, 50, 50).mul_(values({50, d_in}).abs().pow(4));  // few values far above the others
      x.narrow(0, 100, 20).zero_();
      const at::Tensor half = x.to(at::kBFloat16);
      for (const int64_t k : {1, 2, 4}) {
        const TokenRouting rough = route(half, made.site, scoring, k),
                           exact = route(half.to(at::kFloat), made.site, scoring, k);
        EXPECT_TRUE(at::equal(rough.experts, exact.experts)) << n << " " << k;
        EXPECT_TRUE(at::equal(rough.weights, exact.weights)) << n << " " << k;
      }
    }
}

TEST_P(RoutedRows, what_is_not_a_number_stays_with_its_token) {
  const Many made = many(100, GetParam(), Scoring::arrow_mttl, /*twins=*/false);
  at::Tensor x = values({9, d_in}).to(GetParam());
  x[4][7] = std::nan("");
  at::Tensor y = at::zeros({9, d_out}, x.options());
  add_routed(x, y, made.site, route(x, made.site, Scoring::arrow_mttl, 2));
  EXPECT_TRUE(y[4].isnan().all().item<bool>());
  EXPECT_EQ(y.isnan().sum().item<int64_t>(), d_out);
}

TEST_P(RoutedRows, weights_are_counted_by_expert) {
  const Many made = many(40, GetParam(), Scoring::arrow_mttl);
  const TokenRouting routed = route(values({50, d_in}).to(GetParam()), made.site, Scoring::arrow_mttl, 2);
  at::Tensor sums = at::zeros({40}, at::kDouble);
  add_weights(routed, sums);
  const at::Tensor expected =
      at::zeros_like(sums).index_add_(0, routed.experts.flatten(), routed.weights.flatten().to(at::kDouble));
  EXPECT_TRUE(at::equal(sums, expected));
}

INSTANTIATE_TEST_SUITE_P(Types, RoutedRows, testing::Values(at::kFloat, at::kBFloat16));

}  // namespace
}  // namespace gaggle
