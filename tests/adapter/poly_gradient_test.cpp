// dA, dB and dZ of Poly / MHR against finite differences of the loss in fp64, in every way that mixtures are
// made; and the fast types against fp64.
#include "poly_case.h"

namespace gaggle {
namespace {

using test::gradient_of;
using test::two_batches;

struct PolyCase {
  int64_t heads, skills;
  Sampling sampling;
  bool long_sequences;  // per example: mixed; short ones multiply by all skills
  int64_t step = 0;     // from 10 on routing goes over to uniform, until 20
  Granularity granularity = Granularity::site;
  Routing routing = Routing::learned;
  int64_t rank = 2;  // of 20 with long rows: each task's pair is multiplied alone; else all side by side
  bool t5 = false;
};

void PrintTo(const PolyCase& c, std::ostream* out) {
  *out << c.heads << " heads, " << c.skills << " skills, " << test::name_of(c.sampling)
       << (c.long_sequences ? ", long" : ", short") << " rows, step " << c.step << ", rank " << c.rank << ", by "
       << name_of(c.granularity) << (c.t5 ? ", T5" : "");
}

class PolyGradient : public testing::TestWithParam<PolyCase> {
 protected:
  PolyGradient() {
    spec.granularity = GetParam().granularity;
    spec.routing = GetParam().routing;
    for (LoraSite& site : spec.sites) site.rank = GetParam().rank;
  }
  RoutingSchedule schedule() const { return {GetParam().sampling, 0.7, 11, -1, 10, 20}; }
  std::unique_ptr<ModelCheckpoint> checkpoint = test::fake(GetParam().t5);
  std::unique_ptr<BaseModel> exact = load_base_model(*checkpoint, at::kDouble, at::kCPU, BaseUse::training);
  PolySpec spec = test::poly_spec_of(*exact, GetParam().heads, GetParam().skills);
  const std::vector<Microbatch> batches = two_batches(GetParam().long_sequences, false, GetParam().t5);
};

TEST_P(PolyGradient, EqualsFiniteDifferencesOfEveryTensor) {
  PolyAdapter adapter(spec, test::random_poly(spec).to(at::kDouble), schedule(), at::kDouble, at::kCPU);
  adapter.begin_step(GetParam().step);
  ASSERT_EQ(adapter.layout().size(), poly_layout(spec).size());
  test::expect_finite_differences(*exact, adapter, batches);
}

TEST_P(PolyGradient, OfTheFastTypesFollowsFp64) {
  PolyAdapter adapter(spec, test::random_poly(spec).to(at::kDouble), schedule(), at::kDouble, at::kCPU);
  adapter.begin_step(GetParam().step);
  const at::Tensor expected = gradient_of(*exact, adapter, batches);
  for (const auto& [type, limit] : {std::pair{at::kFloat, 2e-5}, std::pair{at::kBFloat16, 0.1}}) {
    const auto base = load_base_model(*checkpoint, type, at::kCPU, BaseUse::training);
    PolyAdapter fast(spec, test::random_poly(spec), schedule(), type, at::kCPU);
    fast.begin_step(GetParam().step);
    const at::Tensor gradient = gradient_of(*base, fast, batches);
    EXPECT_EQ(gradient.scalar_type(), at::kFloat);
    EXPECT_LT(test::apart(gradient, expected), limit) << type;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Cases, PolyGradient,
    testing::Values(PolyCase{1, 3, Sampling::none, false}, PolyCase{4, 3, Sampling::none, true},
                    PolyCase{1, 3, Sampling::task, true}, PolyCase{4, 3, Sampling::task, false},
                    PolyCase{1, 3, Sampling::example, false}, PolyCase{1, 3, Sampling::example, true},
                    PolyCase{4, 3, Sampling::example, false}, PolyCase{4, 3, Sampling::example, true},
                    PolyCase{4, 3, Sampling::none, true, 13}, PolyCase{4, 3, Sampling::task, true, 13},
                    PolyCase{4, 3, Sampling::example, false, 13}, PolyCase{4, 3, Sampling::example, true, 13},
                    PolyCase{4, 3, Sampling::none, false, 0, Granularity::layer},
                    PolyCase{4, 3, Sampling::task, false, 0, Granularity::stack},
                    PolyCase{2, 3, Sampling::example, false, 0, Granularity::model},
                    PolyCase{2, 3, Sampling::example, true, 0, Granularity::layer},
                    PolyCase{4, 3, Sampling::none, false, 0, Granularity::site, Routing::one_hot},
                    PolyCase{4, 2, Sampling::none, false, 0, Granularity::site, Routing::uniform},
                    PolyCase{4, 3, Sampling::none, true, 0, Granularity::site, Routing::learned, 20},
                    PolyCase{1, 3, Sampling::example, true, 0, Granularity::layer, Routing::learned, 20}));

INSTANTIATE_TEST_SUITE_P(
    OnT5, PolyGradient,
    testing::Values(PolyCase{4, 3, Sampling::none, false, 0, Granularity::site, Routing::learned, 2, true},
                    PolyCase{4, 3, Sampling::none, true, 0, Granularity::layer, Routing::learned, 20, true},
                    PolyCase{4, 3, Sampling::task, true, 0, Granularity::stack, Routing::learned, 2, true},
                    PolyCase{4, 3, Sampling::example, false, 0, Granularity::site, Routing::learned, 2, true},
                    PolyCase{4, 3, Sampling::example, true, 0, Granularity::layer, Routing::learned, 2, true}));

// What is mixed once per example or weighed after the products is one thing.
TEST(PolyPasses, MixedAndStackedAgree) {
  const FakeCheckpoint checkpoint;
  LlamaModel base(checkpoint, at::kDouble, at::kCPU, BaseUse::training);
  const PolySpec spec = test::poly_spec_of(base, 4, 3);
  const at::Tensor values = test::random_poly(spec).to(at::kDouble);
  // 9 rows in one example are mixed; with 1 row in each of two more (5 and 4 on average) they are stacked.
  const Microbatch alone = test::batch_of({{1, 6, true, 10}});
  const Microbatch among = test::batch_of({{1, 6, true, 10}, {1, 7, false, 1}, {1, 8, false, 1}});
  PolyAdapter adapter(spec, values, {Sampling::example, 1, 3}, at::kDouble, at::kCPU);
  adapter.begin_step(2);
  const at::Tensor mixed = base.forward(alone, &adapter, nullptr);
  const at::Tensor stacked = base.forward(among, &adapter, nullptr);
  EXPECT_LT(test::apart(stacked.narrow(0, 0, 10), mixed), 1e-13);
}

}  // namespace
}  // namespace gaggle
