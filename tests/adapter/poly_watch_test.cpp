// What alignment is shown of a step: gradients by task that sum to the step's own, halves that sum to the
// whole, and a step that does not change by being watched.
#include "poly_case.h"
#include "watched.h"

namespace gaggle {
namespace {

using test::apart;
using test::gradient_of;
using test::two_batches;

struct WatchCase {
  Sampling sampling;
  bool long_rows;
  int64_t heads;
};

void PrintTo(const WatchCase& c, std::ostream* out) {
  *out << test::name_of(c.sampling) << (c.long_rows ? ", long" : ", short") << " rows, " << c.heads << " heads";
}

class Watched : public testing::TestWithParam<WatchCase> {
 protected:
  Watched() { spec.granularity = "layer"; }
  PolyAdapter made() const {
    PolyAdapter adapter(spec, test::random_poly(spec), {GetParam().sampling, 1, 9, -1, 0, 10}, at::kFloat,
                        at::kCPU);
    adapter.begin_step(3);
    return adapter;
  }
  const FakeCheckpoint checkpoint;
  LlamaModel base{checkpoint, at::kFloat, at::kCPU, BaseUse::training};
  PolySpec spec = test::poly_spec_of(base, GetParam().heads, 3);
  const std::vector<Rows> batches = two_batches(GetParam().long_rows);
};

TEST_P(Watched, ChangesNoBitOfTheGradient) {
  PolyAdapter alone = made(), watched = made();
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
  PolyAdapter adapter = made();
  test::Watched gradients;
  gradients.watch(adapter);
  const at::Tensor flat = gradient_of(base, adapter, batches);
  const int64_t h = spec.heads, k = spec.skills;
  const std::vector<int> tasks = {0, 1, 2};
  const std::vector<at::Tensor> routing = adapter.routing_of(tasks);
  for (size_t i = 0; i < gradients.offsets.size(); ++i) {
    const LoraSite& s = spec.sites[i];
    const int64_t offset = gradients.offsets[i];
    const at::Tensor of_a = adapter.layout().view(flat, s.site.name + ".poly_lora_A");
    const at::Tensor of_b = adapter.layout().view(flat, s.site.name + ".poly_lora_B");
    at::Tensor a = at::zeros_like(of_a), b = at::zeros_like(of_b);
    for (const auto& [task, watched] : gradients.all) {
      if (adapter.per_example()) {
        a += watched.narrow(0, offset, a.numel()).view(a.sizes());
        b += watched.narrow(0, offset + a.numel(), b.numel()).view(b.sizes());
        continue;
      }
      const at::Tensor w = routing[i][task].view({h, k, 1, 1});
      const int64_t of_one = a.numel() / k;
      a += w * watched.narrow(0, offset, of_one).view({h, 1, s.site.d_in / h, s.rank});
      b += w * watched.narrow(0, offset + of_one, b.numel() / k).view({h, 1, s.rank, s.site.d_out / h});
    }
    EXPECT_LT(apart(a, of_a), 1e-5) << s.site.name;
    EXPECT_LT(apart(b, of_b), 1e-5) << s.site.name;
  }
}

// A task's gradient is that of its rows alone; its even half that of its even samples.
TEST_P(Watched, HalvesAreOfTheirSamplesAndSumToTheWhole) {
  PolyAdapter adapter = made();
  test::Watched gradients, flipped;
  gradients.watch(adapter);
  gradient_of(base, adapter, batches);
  flipped.watch(adapter);
  gradient_of(base, adapter, two_batches(GetParam().long_rows, /*flipped=*/true));
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

INSTANTIATE_TEST_SUITE_P(
    Modes, Watched,
    testing::Values(WatchCase{Sampling::none, false, 4}, WatchCase{Sampling::none, true, 1},
                    WatchCase{Sampling::task, false, 4}, WatchCase{Sampling::example, false, 4},
                    WatchCase{Sampling::example, true, 4}, WatchCase{Sampling::example, false, 1},
                    WatchCase{Sampling::example, true, 1}));

}  // namespace
}  // namespace gaggle
