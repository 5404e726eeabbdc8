// Alignment of a training step: Grams of the gradients that a watched step hands over, against one backward
// pass for each task alone, on one rank and on several, however routing is sampled.
#include <gtest/gtest.h>

#include <cstring>
#include <mutex>

#include "../adapter/watched.h"
#include "../model/fake_checkpoint.h"
#include "../train/fake_base.h"
#include "adapter/ia3.h"
#include "alignment/gram.h"
#include "train/trainer.h"

namespace gaggle {
namespace {

struct StepCase {
  Sampling sampling;
  bool long_sequences;  // per example: mixed; short ones multiply by all skills
  int ranks;
  SkillKind skill = SkillKind::low_rank;
};

void PrintTo(const StepCase& c, std::ostream* out) {
  *out << (c.skill == SkillKind::low_rank ? "pairs, " : "vectors, ") << "sampling " << static_cast<int>(c.sampling)
       << (c.long_sequences ? ", long" : ", short") << " rows, " << c.ranks << " ranks";
}

const FakeCheckpoint checkpoint;
constexpr int64_t lanes = 8, budget = 20;

PolySpec spec_of(const BaseModel& base, SkillKind skill) {
  const bool pairs = skill == SkillKind::low_rank;
  PolySpec spec;
  spec.skill = skill;
  spec.sites = pairs ? lora_sites(base.sites(), {}, 2, 1) : ia3_sites(base.sites(), {});
  spec.heads = 4, spec.skills = 3, spec.tasks = 3;
  spec.granularity = Granularity::layer;
  return spec;
}

at::Tensor values_of(const PolySpec& spec) {
  at::Tensor values = at::empty({poly_layout(spec).size()});
  fill_normal(17, 0.3, {values.data_ptr<float>(), static_cast<size_t>(values.numel())});
  return values;
}

class AlignedStep : public testing::TestWithParam<StepCase> {
 protected:
  AlignedStep() {
    for (TokenTask& task : tasks) {
      list.push_back(&task);
      names.push_back(task.name);
      example_counts.push_back(static_cast<int64_t>(task.examples(Split::train).size()));
      if (GetParam().long_sequences)
        for (TokenExample& example : task.splits[0])
          example.input.insert(example.input.end(), 12, 1 + example.target[0]);
    }
    TaskMix mix(5, names, example_counts, {"uniform"});
    batch = mixed_batch(mix, list, 1, 14);
    double tokens = 0;
    for (const Sample& s : batch) tokens += static_cast<double>(s.example->target.size());
    shares.tasks = {0, 1, 2};
    shares.even_samples.assign(3, 0), shares.odd_samples.assign(3, 0);
    shares.even_share.assign(3, 0), shares.odd_share.assign(3, 0);
    for (const Sample& s : batch) {
      const auto t = static_cast<size_t>(s.task);
      ++(s.occurrence % 2 == 0 ? shares.even_samples : shares.odd_samples)[t];
      (s.occurrence % 2 == 0 ? shares.even_share : shares.odd_share)[t] +=
          static_cast<double>(s.example->target.size()) / tokens;
    }
  }
  RoutingSchedule schedule() const { return {GetParam().sampling, 0.8, 21, -1, 0, 9}; }

  // Gradient of the skills from one task's samples of a parity (2: both), over the share of their tokens; fp64,
  // [sites] of one long vector.
  std::vector<at::Tensor> alone(LlamaModel& base, SkillAdapter& adapter, int task, int parity) const {
    const std::vector<float> all_weights = loss_weights(batch, LossAverage::token);
    std::vector<Sample> samples;
    std::vector<float> weights;
    for (size_t i = 0; i < batch.size(); ++i)
      if (batch[i].task == task && (parity == 2 || batch[i].occurrence % 2 == parity))
        samples.push_back(batch[i]), weights.push_back(all_weights[i]);
    const at::Tensor flat = at::zeros({adapter.layout().size()}, at::kDouble);
    adapter.set_gradients(flat);
    for (const Microbatch& part : make_microbatches(samples, 1 << 20, weights)) base.forward_backward(part, adapter);
    adapter.finish_gradients();
    const auto t = static_cast<size_t>(task);
    const double share = (parity != 1 ? shares.even_share[t] : 0) + (parity != 0 ? shares.odd_share[t] : 0);
    const auto of = [&](const LoraSite& s, const char* name) {
      return adapter.layout().view(flat, s.site.name + name).flatten() / share;
    };
    std::vector<at::Tensor> by_site;
    for (const LoraSite& s : adapter.spec().sites)
      if (adapter.spec().skill == SkillKind::rescaling)
        by_site.push_back(of(s, ".poly_ia3_l"));
      else
        by_site.push_back(at::cat({of(s, ".poly_lora_A"), of(s, ".poly_lora_B")}));
    return by_site;
  }

  Grams brute_force() const {
    LlamaModel base(checkpoint, at::kDouble, at::kCPU, BaseUse::training);
    const PolySpec spec = spec_of(base, GetParam().skill);
    const auto made = make_skill_adapter(spec, values_of(spec).to(at::kDouble), schedule(), at::kDouble, at::kCPU);
    SkillAdapter& adapter = *made;
    adapter.begin_step(2);
    std::vector<std::vector<at::Tensor>> whole, even, odd;  // [tasks][sites]
    for (int task = 0; task < 3; ++task) {
      whole.push_back(alone(base, adapter, task, 2));
      even.push_back(alone(base, adapter, task, 0));
      odd.push_back(alone(base, adapter, task, 1));
    }
    const auto count = static_cast<int64_t>(spec.sites.size());
    Grams grams = {at::zeros({count, 3, 3}, at::kDouble), at::zeros({count, 3, 3}, at::kDouble)};
    for (size_t s = 0; s < spec.sites.size(); ++s)
      for (size_t t = 0; t < 3; ++t)
        for (size_t u = 0; u < 3; ++u) {
          const auto site = static_cast<int64_t>(s), row = static_cast<int64_t>(t), column = static_cast<int64_t>(u);
          grams.full[site][row][column] = whole[t][s].dot(whole[u][s]);
          grams.halves[site][row][column] = (even[t][s].dot(odd[u][s]) + odd[t][s].dot(even[u][s])) / 2;
        }
    return grams;
  }

  std::vector<TokenTask> tasks = fake_tasks();
  std::vector<const TokenTask*> list;
  std::vector<std::string> names;
  std::vector<int64_t> example_counts;
  std::vector<Sample> batch;
  BatchTasks shares;
};

std::vector<AlignedSite> aligned_sites(const SkillAdapter& adapter) {
  const PolySpec& spec = adapter.spec();
  std::vector<AlignedSite> sites;
  int64_t offset = 0;
  for (const LoraSite& s : spec.sites) {
    const WatchedSizes sizes = adapter.watched_sizes(s);
    sites.push_back({s.site.name, s.site.kind, s.site.layer, spec.heads, spec.skills, sizes.a, sizes.b, offset});
    offset += sites.back().size();
  }
  return sites;
}

TaskGradients task_gradients(const SkillAdapter& adapter, const test::Watched& watched,
                             std::vector<at::Tensor> routing) {
  const auto stacked = [&](const std::map<int, at::Tensor>& by_task) {
    at::Tensor all = at::zeros({3, watched.size});
    for (const auto& [task, gradient] : by_task) all[task].copy_(gradient);
    return all;
  };
  return {adapter.per_example() ? GradientSpace::skill : GradientSpace::mixed, stacked(watched.all),
          stacked(watched.even), std::move(routing)};
}

TEST_P(AlignedStep, GramEqualsOneBackwardPassForEachTask) {
  for (const auto& counts : {shares.even_samples, shares.odd_samples})
    for (const int64_t samples : counts) ASSERT_GT(samples, 0);
  const Grams exact = brute_force();
  std::mutex expecting;
  run_as_threads(GetParam().ranks, 60, [&](Communicator& group) {
    LlamaModel base(checkpoint, at::kFloat, at::kCPU, BaseUse::training);
    const PolySpec spec = spec_of(base, GetParam().skill);
    const auto made = make_skill_adapter(spec, values_of(spec), schedule(), at::kFloat, at::kCPU);
    SkillAdapter& adapter = *made;
    StepSettings settings;
    settings.lanes = lanes, settings.tokens_per_microbatch = budget;
    Trainer trainer(base, adapter, group, settings, 3);
    adapter.begin_step(2);
    test::Watched watched;
    watched.watch(adapter);
    const std::vector<int> numbers = {0, 1, 2};
    std::vector<at::Tensor> routing = adapter.routing_of(numbers);
    trainer.step(batch, 0.1);
    std::vector<GradientSpace> spaces = {GradientSpace::skill};
    if (!adapter.per_example()) spaces.push_back(GradientSpace::mixed);
    const Grams grams =
        task_grams(aligned_sites(adapter), task_gradients(adapter, watched, routing), shares, spaces, group)
            .at(GradientSpace::skill);
    const std::lock_guard lock(expecting);
    for (int64_t s = 0; s < exact.full.size(0); ++s) {
      EXPECT_LT(((grams.full[s] - exact.full[s]).norm() / exact.full[s].norm()).item<double>(), 1e-5) << s;
      EXPECT_LT(((grams.halves[s] - exact.halves[s]).norm() / exact.halves[s].norm()).item<double>(), 1e-5) << s;
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Modes, AlignedStep,
                         testing::Values(StepCase{Sampling::none, false, 1}, StepCase{Sampling::none, true, 3},
                                         StepCase{Sampling::task, false, 1}, StepCase{Sampling::task, false, 4},
                                         StepCase{Sampling::example, false, 1}, StepCase{Sampling::example, false, 3},
                                         StepCase{Sampling::example, true, 1}, StepCase{Sampling::example, true, 4},
                                         StepCase{Sampling::none, false, 3, SkillKind::rescaling},
                                         StepCase{Sampling::task, true, 1, SkillKind::rescaling},
                                         StepCase{Sampling::example, false, 4, SkillKind::rescaling}));

}  // namespace
}  // namespace gaggle
