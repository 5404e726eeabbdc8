// What alignment is shown of a step: gradients by task that sum to the step's own, halves that sum to the
// whole, and a step that does not change by being watched.
#include "adapter/ia3.h"
#include "poly_case.h"
#include "watched.h"

namespace gaggle {
namespace {

using test::apart;
using test::gradient_of;
using test::two_batches;

struct WatchCase {
  Sampling sampling;
  bool long_sequences;
  int64_t heads;
  SkillKind skill = SkillKind::low_rank;
  int64_t rank = 2;
  bool t5 = false;
};

void PrintTo(const WatchCase& c, std::ostream* out) {
  *out << (c.skill == SkillKind::low_rank ? "pairs, " : "vectors, ") << test::name_of(c.sampling)
       << (c.long_sequences ? ", long" : ", short") << " rows, " << c.heads << " heads" << (c.t5 ? ", T5" : "");
}

class Watched : public testing::TestWithParam<WatchCase> {
 protected:
  Watched() {
    spec.granularity = Granularity::layer;
    spec.skill = GetParam().skill;
    for (LoraSite& site : spec.sites) site.rank = GetParam().rank;
    if (spec.skill == SkillKind::rescaling) spec.sites = ia3_sites(base.sites(), {});
  }
  std::unique_ptr<SkillAdapter> made() const {
    auto adapter =
        make_skill_adapter(spec, test::random_poly(spec), {GetParam().sampling, 1, 9, -1, 0, 10}, at::kFloat, at::kCPU);
    adapter->begin_step(3);
    return adapter;
  }
  const std::unique_ptr<ModelCheckpoint> checkpoint = test::fake(GetParam().t5);
  const std::unique_ptr<BaseModel> loaded = load_base_model(*checkpoint, at::kFloat, at::kCPU, BaseUse::training);
  BaseModel& base = *loaded;
  PolySpec spec = test::poly_spec_of(base, GetParam().heads, 3);
  const std::vector<Microbatch> batches = two_batches(GetParam().long_sequences, false, GetParam().t5);
};

TEST_P(Watched, ChangesNoBitOfTheGradient) {
  const auto one = made(), other = made();
  SkillAdapter &alone = *one, &watched = *other;
  const at::Tensor expected = gradient_of(base, alone, batches);
  test::Watched gradients;
  gradients.watch(watched);
  EXPECT_TRUE(at::equal(gradient_of(base, watched, batches), expected));
  EXPECT_EQ(gradients.all.size(), 3u);
  watched.watch({});
  const at::Tensor kept = gradients.all.at(0).clone();
  EXPECT_TRUE(at::equal(gradient_of(base, watched, batches), expected));
  EXPECT_TRUE(at::equal(gradients.all.at(0), kept));
}

TEST_P(Watched, TasksSumToTheSkillsGradients) {
  const auto made_adapter = made();
  SkillAdapter& adapter = *made_adapter;
  test::Watched gradients;
  gradients.watch(adapter);
  const at::Tensor flat = gradient_of(base, adapter, batches);
  const int64_t h = spec.heads, k = spec.skills;
  const std::vector<int> tasks = {0, 1, 2};
  const std::vector<at::Tensor> routing = adapter.routing_of(tasks);
  const auto names = spec.skill == SkillKind::rescaling ? std::vector<std::string>{".poly_ia3_l"}
                                                        : std::vector<std::string>{".poly_lora_A", ".poly_lora_B"};
  for (size_t i = 0; i < gradients.offsets.size(); ++i) {
    int64_t offset = gradients.offsets[i];
    for (const std::string& name : names) {
      const at::Tensor expected = adapter.layout().view(flat, spec.sites[i].site.name + name).view({h, k, -1});
      const int64_t count = expected.numel() / (adapter.per_example() ? 1 : k);
      at::Tensor sum = at::zeros_like(expected);
      for (const auto& [task, watched] : gradients.all) {
        const at::Tensor part = watched.narrow(0, offset, count);
        sum += adapter.per_example() ? part.view({h, k, -1}) : routing[i][task].view({h, k, 1}) * part.view({h, 1, -1});
      }
      EXPECT_LT(apart(sum, expected), 1e-5) << spec.sites[i].site.name << name;
      offset += count;
    }
  }
}

// A task's gradient is that of its rows alone; its even half that of its even samples.
TEST_P(Watched, HalvesAreOfTheirSamplesAndSumToTheWhole) {
  const auto made_adapter = made();
  SkillAdapter& adapter = *made_adapter;
  test::Watched gradients, flipped;
  gradients.watch(adapter);
  gradient_of(base, adapter, batches);
  flipped.watch(adapter);
  gradient_of(base, adapter, two_batches(GetParam().long_sequences, /*flipped=*/true, GetParam().t5));
  for (const auto& [task, all] : gradients.all) {
    const auto half = [&](const test::Watched& of) {
      const auto found = of.even.find(task);
      return found == of.even.end() ? at::zeros_like(all) : found->second;
    };
    EXPECT_LT(apart(half(gradients) + half(flipped), all), 1e-5) << task;
    EXPECT_LT(apart(flipped.all.at(task), all), 1e-5) << task;
  }
  // Task 1 has no odd sample.
  EXPECT_TRUE(at::equal(gradients.even.at(1), gradients.all.at(1)));
  EXPECT_GT(apart(gradients.even.at(0), gradients.all.at(0)), 0.1);
}

INSTANTIATE_TEST_SUITE_P(Modes, Watched,
                         testing::Values(WatchCase{Sampling::none, false, 4}, WatchCase{Sampling::none, true, 1},
                                         WatchCase{Sampling::task, false, 4}, WatchCase{Sampling::example, false, 4},
                                         WatchCase{Sampling::example, true, 4}, WatchCase{Sampling::example, false, 1},
                                         WatchCase{Sampling::example, true, 1},
                                         WatchCase{Sampling::none, true, 4, SkillKind::low_rank, 20},
                                         WatchCase{Sampling::none, true, 4, SkillKind::rescaling},
                                         WatchCase{Sampling::task, false, 1, SkillKind::rescaling},
                                         WatchCase{Sampling::example, false, 4, SkillKind::rescaling},
                                         WatchCase{Sampling::none, false, 4, SkillKind::low_rank, 2, true},
                                         WatchCase{Sampling::example, false, 4, SkillKind::low_rank, 2, true},
                                         WatchCase{Sampling::example, true, 4, SkillKind::low_rank, 2, true},
                                         WatchCase{Sampling::task, true, 4, SkillKind::rescaling, 1, true}));

}  // namespace
}  // namespace gaggle
