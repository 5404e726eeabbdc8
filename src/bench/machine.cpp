#include <algorithm>
#include <memory>

#include "base/clock.h"
#include "bench/cases.h"
#include "model/frozen_linear.h"

namespace gaggle {
namespace {

constexpr int64_t copied_bytes = int64_t{128} << 20;  // more than a cache holds

// The quicker of LibTorch's plain product and the base's own: if our layout of weights is ever the slower one, the shares
// have to show it, not hide it.
Runner product(const BenchSubject& subject, const LinearShape& shape, int64_t rows) {
  const at::Tensor x = random_values({rows, shape.d_in}, subject.activations(), "bench x", 0, 1);
  const at::Tensor weight = random_values({shape.d_out, shape.d_in}, subject.activations(), "bench W", 0, 0.02);
  const FrozenLinear linear(weight, {}, BaseUse::inference);
  const auto packed = [=] { linear.forward(x); };
  const auto plain = [=] { at::matmul(x, weight.t()); };
  const auto seconds = [&](const std::function<void()>& run) {
    run();
    const double begin = monotonic_seconds();
    for (int i = 0; i < 3; ++i) run();
    return monotonic_seconds() - begin;
  };
  // A GPU is told and not waited for: there both are the same product.
  if (!x.is_cpu() || seconds(packed) <= seconds(plain)) return {packed};
  return {plain};
}

}  // namespace

std::vector<LinearShape> linear_shapes(const BaseModel& base) {
  std::vector<LinearShape> shapes;
  for (const Site& site : base.sites()) {
    const auto same = std::ranges::find_if(
        shapes, [&](const LinearShape& shape) { return shape.d_in == site.d_in && shape.d_out == site.d_out; });
    if (same == shapes.end())
      shapes.push_back({site.d_in, site.d_out, 1});
    else
      ++same->count;
  }
  return shapes;
}

std::vector<BenchCase> machine_cases(const SharedSubject& subject) {
  std::vector<BenchCase> cases;
  const int64_t rows = subject->base.device().is_cpu() ? 1024 : 8192;
  for (const LinearShape& shape : linear_shapes(subject->base)) {
    const double flop = 2.0 * static_cast<double>(rows * shape.d_in * shape.d_out);
    const auto make = [subject, shape, rows] { return product(*subject, shape, rows); };
    cases.push_back({machine_group, "GEMM " + shape.text(), {{flop, 0}}, 0, make, shape.count});
  }
  const auto copy = [subject] {
    const auto options = at::TensorOptions().dtype(at::kFloat).device(subject->base.device());
    const at::Tensor from = at::ones({copied_bytes / 4}, options), to = at::zeros_like(from);
    return Runner{[from, to] { to.copy_(from); }};
  };
  cases.push_back({machine_group, "memory copy", {{0, 2.0 * copied_bytes}}, 0, copy});
  return cases;
}

}  // namespace gaggle
