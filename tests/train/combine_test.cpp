// Weights of the tasks' gradients by hand (TorchJD: test_combine.py), and gradients kept apart: joined with weights of 1 they
// are the sum, with one weight they are that task's, in every mode of routing.
#include "train/combine.h"

#include <gtest/gtest.h>

#include <cmath>

#include "../model/fake_checkpoint.h"
#include "adapter/ia3.h"
#include "adapter/poly_adapter.h"
#include "base/error.h"
#include "base/philox.h"
#include "fake_base.h"
#include "train/batch.h"
#include "train/gradients_by_task.h"

namespace gaggle::combine {
namespace {

at::Tensor gram_from(std::vector<double> values) {
  const auto tasks = static_cast<int64_t>(std::lround(std::sqrt(static_cast<double>(values.size()))));
  return at::tensor(values, at::kDouble).view({tasks, tasks});
}

void expect_near(const std::vector<double>& ours, const std::vector<double>& expected, double most) {
  ASSERT_EQ(ours.size(), expected.size());
  for (size_t i = 0; i < ours.size(); ++i) EXPECT_NEAR(ours[i], expected[i], most) << i;
}

TEST(UpGrad, IsTheMeanWhereNothingConflicts) {
  expect_near(upgrad_weights(gram_from({4, 1, 0, 1, 2, 3, 0, 3, 9})), {1. / 3, 1. / 3, 1. / 3}, 1e-15);
  expect_near(upgrad_weights(gram_from({0, 0, 0, 0})), {0.5, 0.5}, 0);
  expect_near(upgrad_weights(gram_from({7})), {1}, 0);
}

// Two tasks: v = e_i + |g_12| / G_jj e_j, with G / tr G + 1e-4 I for G.
TEST(UpGrad, OfTwoThatConflictIsTheFormula) {
  const double a = 4, b = 1, c = -1.5, trace = a + b;
  const double first = -c / (b + 1e-4 * trace), second = -c / (a + 1e-4 * trace);
  expect_near(upgrad_weights(gram_from({a, c, c, b})), {(1 + second) / 2, (1 + first) / 2}, 1e-14);
  expect_near(upgrad_weights(gram_from({1e-12 * a, 1e-12 * c, 1e-12 * c, 1e-12 * b})),
              {(1 + second) / 2, (1 + first) / 2}, 1e-14);  // no gradient is too small
  const double opposite = 1 / (1 + 1e-4 * 2);
  expect_near(upgrad_weights(gram_from({1, -1, -1, 1})), {(1 + opposite) / 2, (1 + opposite) / 2}, 1e-14);
}

TEST(UpGrad, WhatIsNotFiniteGivesNoWeights) {
  for (const double weight : upgrad_weights(gram_from({1, std::nan(""), std::nan(""), 1})))
    EXPECT_TRUE(std::isnan(weight));
}

// No task's loss grows along the joined gradient: G w ≥ 0, for as many tasks as gradients have directions and for more.
TEST(UpGrad, NoTaskLosesToFirstOrder) {
  at::manual_seed(4);
  int conflicts = 0;
  for (const int64_t tasks : {3, 8, 24})
    for (const int64_t width : {2, 8, 100}) {
      at::Tensor j = at::randn({tasks, width}, at::kDouble);
      if (width == 8) j -= 0.8 * at::randn({1, width}, at::kDouble) * at::randn({tasks, 1}, at::kDouble);
      const at::Tensor gram = at::mm(j, j.t());
      const at::Tensor w = at::tensor(upgrad_weights(gram), at::kDouble);
      // The regularisation moves it by 1e-4 of the trace at most.
      EXPECT_GT(at::mv(gram, w).min().item<double>(), -1e-4 * gram.trace().item<double>() * w.max().item<double>());
      EXPECT_GE(w.min().item<double>(), 1.0 / static_cast<double>(tasks) - 1e-15);
      conflicts += gram.min().item<double>() < 0;
    }
  EXPECT_GE(conflicts, 7);
}

TEST(PcGrad, ByHand) {
  expect_near(pcgrad_weights(gram_from({4, 1, 1, 2}), 0), {1, 1}, 0);
  expect_near(pcgrad_weights(gram_from({4, -1, -1, 2}), 0), {1 + 1. / 4, 1 + 1. / 2}, 1e-15);
  expect_near(pcgrad_weights(gram_from({1, -1, -1, 1}), 0), {2, 2}, 1e-15);
  expect_near(pcgrad_weights(gram_from({0, 0, 0, 2}), 0), {1, 1}, 0);
}

TEST(PcGrad, OrdersGoByTheKey) {
  at::manual_seed(1);
  const at::Tensor j = at::randn({6, 3}, at::kDouble), gram = at::mm(j, j.t());
  const CombineSettings settings{Combine::pcgrad, 5, 6};
  EXPECT_EQ(combining_weights(settings, gram, 32), combining_weights(settings, gram, 32));
  EXPECT_NE(combining_weights(settings, gram, 32), combining_weights(settings, gram, 64));
  EXPECT_NE(combining_weights(settings, gram, 32), combining_weights({Combine::pcgrad, 6, 6}, gram, 32));
}

struct Mode {
  Sampling sampling;
  bool uniform = false;  // by now, though samples were drawn per example before
  SkillKind skill = SkillKind::low_rank;
  int64_t rank = 2;  // 20: the pairs go one by one
};

class Apart : public testing::TestWithParam<Mode> {
 protected:
  Apart() {
    const Mode& mode = GetParam();
    spec.sites =
        mode.skill == SkillKind::rescaling ? ia3_sites(base.sites(), {}) : lora_sites(base.sites(), {}, mode.rank, 1);
    spec.skill = mode.skill;
    spec.heads = 4, spec.skills = 3, spec.tasks = 3;
    spec.granularity = Granularity::layer;
    const ParameterLayout all = poly_layout(spec);
    start = at::empty({all.size()}, at::kFloat);
    for (const ParameterInfo& t : all.tensors())
      fill_normal(name_number(t.name), is_router(t) ? 1 : 0.1,
                  {start.data_ptr<float>() + t.offset, static_cast<size_t>(t.count)});
    for (const size_t t : {0u, 2u})  // the second task is not in the batch
      for (size_t i = 0; i < 4; ++i)
        batch.push_back(
            {static_cast<int64_t>(batch.size()), static_cast<int>(t), &tasks[t].splits[0][i], static_cast<int64_t>(i)});
  }
  std::unique_ptr<SkillAdapter> made() const {
    RoutingSchedule schedule{GetParam().sampling, 1, 9, -1, 0, 0};
    if (GetParam().uniform) schedule.average_from = 2;
    auto adapter = make_skill_adapter(spec, start, schedule, at::kFloat, at::kCPU);
    adapter->begin_step(3);
    return adapter;
  }
  // The passes of the batch, or of one task's samples in it with the weights that they have in all of it.
  void pass(SkillAdapter& adapter, int only = -1) {
    const std::vector<float> all = loss_weights(batch, LossAverage::token);
    std::vector<Sample> samples;
    std::vector<float> weights;
    for (size_t i = 0; i < batch.size(); ++i)
      if (only < 0 || batch[i].task == only) samples.push_back(batch[i]), weights.push_back(all[i]);
    for (const Microbatch& part : lane_microbatches(samples, weights, 0, 1, 9)) base.forward_backward(part, adapter);
    adapter.finish_gradients();
  }
  at::Tensor plain(int only = -1) {
    const auto adapter = made();
    const at::Tensor flat = at::zeros({adapter->layout().size()});
    adapter->set_gradients(flat);
    pass(*adapter, only);
    return flat;
  }
  GradientsByTask::Joined joined(const GradientsByTask::WeightsOf& weights) {
    const auto adapter = made();
    GradientsByTask apart(*adapter, 3);
    apart.begin(batch);
    const at::Tensor flat = at::zeros({apart.layout().size()});
    apart.set_gradients(flat);
    pass(*adapter);
    const Owners mine = owners_of(apart.layout(), std::vector<int>(apart.layout().tensors().size(), 0), 1);
    return apart.join(flat, mine, weights, *make_self());
  }

  FakeCheckpoint checkpoint;
  LlamaModel base{checkpoint, at::kFloat, at::kCPU, BaseUse::training};
  const std::vector<TokenTask> tasks = fake_tasks();
  PolySpec spec;
  at::Tensor start;
  std::vector<Sample> batch;
};

void expect_close(const at::Tensor& ours, const at::Tensor& expected) {
  EXPECT_LT(((ours - expected).norm() / expected.norm()).item<double>(), 1e-5);
}

TEST_P(Apart, WeightsOfOneGiveTheSum) {
  const GradientsByTask::Joined all = joined([](const at::Tensor&) { return std::vector<double>{1, 1}; });
  EXPECT_EQ(all.tasks, (std::vector<int>{0, 2}));
  expect_close(all.gradient, plain());
}

// A routing row has its own task's gradient whatever the weights; the skills have the weighted sum.
TEST_P(Apart, WeightsAreOfTheSkillsAlone) {
  const at::Tensor ours = joined([](const at::Tensor&) { return std::vector<double>{0.25, -2}; }).gradient;
  const at::Tensor first = plain(0), second = plain(2);
  const ParameterLayout layout = trained_layout(spec);
  for (const ParameterInfo& tensor : layout.tensors()) {
    const at::Tensor a = layout.view(first, tensor), b = layout.view(second, tensor);
    if (is_router(tensor) && GetParam().uniform) continue;  // nothing is learnt of it any more
    expect_close(layout.view(ours, tensor), is_router(tensor) ? a + b : 0.25 * a - 2 * b);
  }
}

// The Gram is that of the skills' gradients, the routing table left out.
TEST_P(Apart, TheGramIsOfTheSkillsGradients) {
  at::Tensor gram;
  joined([&](const at::Tensor& g) { return gram = g.clone(), std::vector<double>{1, 1}; });
  const ParameterLayout layout = trained_layout(spec);
  const auto skills_of = [&](const at::Tensor& flat) {
    std::vector<at::Tensor> parts;
    for (const ParameterInfo& tensor : layout.tensors())
      if (!is_router(tensor)) parts.push_back(layout.view(flat, tensor).flatten());
    return at::cat(parts).to(at::kDouble);
  };
  const at::Tensor j = at::stack({skills_of(plain(0)), skills_of(plain(2))});
  expect_close(gram, at::mm(j, j.t()));
}

INSTANTIATE_TEST_SUITE_P(Modes, Apart,
                         testing::Values(Mode{Sampling::none}, Mode{Sampling::none, false, SkillKind::low_rank, 20},
                                         Mode{Sampling::task}, Mode{Sampling::example}, Mode{Sampling::example, true},
                                         Mode{Sampling::none, false, SkillKind::rescaling},
                                         Mode{Sampling::example, false, SkillKind::rescaling},
                                         Mode{Sampling::example, true, SkillKind::rescaling}));

TEST(TooMuchApart, MoreThanThereIsIsRefused) {
  const CombineSettings settings{Combine::upgrad, 0, 12};
  refuse_too_much_apart(settings, 700, 1000, 1000);
  refuse_too_much_apart(settings, 700, 1000, -1);   // what is free is not known
  refuse_too_much_apart(settings, 700, 1000, 200);  // the rest alone is too much: others say so
  try {
    refuse_too_much_apart(settings, 700'000'000, 1'000'000'000, 500'000'000);
    FAIL();
  } catch (const UserError& error) {
    for (const char* words : {"\"upgrad\"", "12 tasks", "700", "500", "train.batch_size"})
      EXPECT_NE(std::string(error.what()).find(words), std::string::npos) << words << ": " << error.what();
  }
}

}  // namespace
}  // namespace gaggle::combine
