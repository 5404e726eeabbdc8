// Every site's gradient against finite differences of the loss in fp64, whose cross-entropy is written out
// here; and the fast types against fp64.
#include <gtest/gtest.h>

#include "../probe/matrix_adapter.h"
#include "base/philox.h"
#include "fake_checkpoint.h"

namespace gaggle {
namespace {

at::Tensor normal(at::IntArrayRef shape, uint64_t key, double std) {
  at::Tensor values = at::empty(shape, at::kFloat);
  fill_normal(key, std, {values.data_ptr<float>(), static_cast<size_t>(values.numel())});
  return values.to(at::kDouble);
}

// Sequences of 3, 11, 1 and 6 tokens; scored are all rows of two, with two targets on one of them.
Rows batch() {
  Rows rows;
  rows.starts.push_back(0);
  for (const int n : {3, 11, 1, 6}) {
    for (int i = 0; i < n; ++i) {
      rows.ids.push_back((7 * i + 13 * n) % 100);
      rows.positions.push_back(i);
      for (int choice = 0; choice < (n == 11 && i == 4 ? 2 : n == 11 || n == 3); ++choice) {
        rows.target_rows.push_back(rows.count() - 1);
        rows.target_ids.push_back((3 * i + 17 * n + 5 * choice) % 100);
        rows.target_weights.push_back(0.25f * static_cast<float>(1 + i % 3));
      }
    }
    rows.starts.push_back(rows.count());
  }
  return rows;
}

double loss(LlamaModel& base, probe::MatrixAdapter& adapter, const Rows& rows, double smoothing = 0) {
  const at::Tensor hidden = base.forward(rows, &adapter, nullptr);
  const at::Tensor logp = at::log_softmax(base.logits(hidden, rows.target_rows), 1);
  double sum = 0;
  for (size_t i = 0; i < rows.target_ids.size(); ++i) {
    const at::Tensor row = logp[static_cast<int64_t>(i)];
    sum -= static_cast<double>(rows.target_weights[i]) *
           ((1 - smoothing) * row[rows.target_ids[i]] + smoothing * row.mean()).item<double>();
  }
  return sum;
}

struct GradientCase {
  int64_t window;
  bool qk_norm, tied;
};

class Gradient : public testing::TestWithParam<GradientCase> {
 protected:
  FakeCheckpoint checkpoint{GetParam().window, GetParam().qk_norm, GetParam().tied};
  LlamaModel exact{checkpoint, at::kDouble, at::kCPU, BaseUse::training};
  const Rows rows = batch();
  probe::MatrixAdapter adapter = made();

  probe::MatrixAdapter made() const {
    probe::MatrixAdapter made;
    for (const Site& site : exact.sites())
      made.matrices[site.name] = normal({site.d_out, site.d_in}, name_number(site.name), 0.05);
    return made;
  }
};

TEST_P(Gradient, EqualsFiniteDifferencesAtEverySite) {
  for (const double smoothing : {0.0, 0.2}) {
    adapter.gradients.clear();
    exact.forward_backward(rows, adapter, {.label_smoothing = smoothing});
    ASSERT_EQ(adapter.gradients.size(), exact.sites().size());
    for (const Site& site : exact.sites()) {
      at::Tensor& matrix = adapter.matrices[site.name];
      const at::Tensor direction = normal(matrix.sizes(), name_number(site.name) + 1, 1);
      const double h = 1e-5;
      matrix.add_(direction, h);
      const double above = loss(exact, adapter, rows, smoothing);
      matrix.add_(direction, -2 * h);
      const double below = loss(exact, adapter, rows, smoothing);
      matrix.add_(direction, h);
      const double expected = (adapter.gradients[site.name] * direction).sum().item<double>();
      EXPECT_NEAR((above - below) / (2 * h), expected, 1e-6 * (1 + std::abs(expected))) << site.name;
    }
  }
}

TEST_P(Gradient, OfTheFastTypesFollowsFp64) {
  const at::Tensor nll = exact.forward_backward(rows, adapter);
  for (const auto& [type, limit] : {std::pair{at::kFloat, 1e-5}, std::pair{at::kBFloat16, 0.06}}) {
    LlamaModel base(checkpoint, type, at::kCPU, BaseUse::training);
    probe::MatrixAdapter ours = made();
    const auto apart = [](const at::Tensor& a, const at::Tensor& b) {
      return ((a.to(at::kDouble) - b.to(at::kDouble)).norm() / b.to(at::kDouble).norm()).item<double>();
    };
    EXPECT_LT(apart(base.forward_backward(rows, ours), nll), limit);
    for (const Site& site : exact.sites())
      EXPECT_LT(apart(ours.gradients[site.name], adapter.gradients[site.name]), limit) << site.name << type;
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, Gradient,
                         testing::Values(GradientCase{0, false, false}, GradientCase{4, true, false},
                                         GradientCase{0, false, true}));

}  // namespace
}  // namespace gaggle
