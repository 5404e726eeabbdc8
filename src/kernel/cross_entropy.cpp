#include "kernel/cross_entropy.h"

#include <ATen/Parallel.h>

#include <cmath>

#include "base/error.h"
#include "kernel/cuda_kernels.h"
#include "kernel/dispatch.h"
#include "kernel/upload.h"

namespace gaggle {
namespace {

using simd::Floats;
using simd::lanes;

template <class X>
GAGGLE_CLONES float log_sum_exp(const X* x, int64_t n) {
  Floats v, best = Floats{} - 3.0e38f, total{};
  for (int64_t i = 0; i < n; i += lanes) {
    simd::load(x + i, n - i, v);
    simd::take_larger(v, n - i, best);
  }
  const float top = simd::largest(best);
  for (int64_t i = 0; i < n; i += lanes) {
    simd::load(x + i, n - i, v);
    simd::exp(v - top, v);
    for (int64_t j = n - i; j < lanes; ++j) v[j] = 0;
    total += v;
  }
  return top + std::log(simd::sum(total));
}

// x ← weight · softmax(x) - everywhere.
template <class X>
GAGGLE_CLONES void softmax_times(X* x, int64_t n, float lse, float weight, float everywhere) {
  Floats v;
  for (int64_t i = 0; i < n; i += lanes) {
    simd::load(x + i, n - i, v);
    simd::exp(v - lse, v);
    v = v * weight - everywhere;
    simd::store(x + i, n - i, v);
  }
}

template <class X>
GAGGLE_CLONES float sum_all(const X* x, int64_t n) {
  Floats v, total{};
  for (int64_t i = 0; i < n; i += lanes) {
    simd::load(x + i, n - i, v);
    total += v;
  }
  return simd::sum(total);
}

template <class X>
float read(const X* x) {
  Floats v;
  simd::load(x, 1, v);
  return v[0];
}
template <class X>
void write(X* x, float value) {
  Floats v{};
  v[0] = value;
  simd::store(x, 1, v);
}

// One row of logits with its targets.
template <class X>
void one_row(X* x, int64_t n, std::span<const int32_t> ids, std::span<const float> weights, float smoothing,
             std::span<float> nll) {
  const float lse = log_sum_exp(x, n);
  const float mean = smoothing > 0 ? lse - sum_all(x, n) / static_cast<float>(n) : 0;  // of -log p
  for (size_t t = 0; t < ids.size(); ++t) nll[t] = lse - read(x + ids[t]);
  if (!weights.empty()) {
    float weight = 0;
    for (float w : weights) weight += w;
    const float everywhere = weight * smoothing / static_cast<float>(n);
    softmax_times(x, n, lse, weight, everywhere);
    for (size_t t = 0; t < ids.size(); ++t) {
      float hits = 0;  // of all targets with this id, each of which writes the same value
      for (size_t u = 0; u < ids.size(); ++u) hits += ids[u] == ids[t] ? (1 - smoothing) * weights[u] : 0.0f;
      write(x + ids[t], weight * std::exp(-nll[t]) - hits - everywhere);
    }
  }
  if (smoothing > 0)
    for (float& loss : nll) loss = (1 - smoothing) * loss + smoothing * mean;
}

template <class T>
std::span<const T> values_of(const at::Tensor& x) {
  return {x.const_data_ptr<T>(), static_cast<size_t>(x.numel())};
}

void by_operators(at::Tensor& logits, const RowTargets& targets, int64_t first, at::Tensor& nll, double smoothing) {
  const at::Tensor bounds = targets.starts.narrow(0, first, logits.size(0) + 1).to(at::kLong);
  const at::Tensor counts = bounds.slice(0, 1) - bounds.slice(0, 0, -1);
  const at::Tensor rows = at::repeat_interleave(counts);
  const int64_t begin = bounds[0].item<int64_t>(), n = rows.size(0);
  const at::Tensor columns = targets.ids.narrow(0, begin, n).to(at::kLong);
  const at::Tensor logp = at::log_softmax(logits.to(sum_type(logits.scalar_type())), -1);
  at::Tensor losses = -logp.index_select(0, rows).gather(1, columns.unsqueeze(1)).squeeze(1);
  if (smoothing > 0) losses.mul_(1 - smoothing).sub_(logp.mean(1).index_select(0, rows), smoothing);
  nll.narrow(0, begin, n).copy_(losses);
  if (!targets.weights.defined()) return;
  const at::Tensor w = targets.weights.narrow(0, begin, n).to(logp.scalar_type());
  const at::Tensor total = at::zeros({logits.size(0)}, w.options()).index_add_(0, rows, w);
  at::Tensor grad = logp.exp().mul_(total.unsqueeze(1));
  if (smoothing > 0) grad.sub_(total.unsqueeze(1), smoothing / static_cast<double>(logits.size(1)));
  grad.index_put_({rows, columns}, smoothing > 0 ? w * (smoothing - 1) : -w, true);
  logits.copy_(grad);
}

void by_loops(at::Tensor& logits, const RowTargets& targets, int64_t first, at::Tensor& nll, float smoothing) {
  const int64_t n = logits.size(1);
  const auto starts = values_of<int32_t>(targets.starts), ids = values_of<int32_t>(targets.ids);
  const auto weights = targets.weights.defined() ? values_of<float>(targets.weights) : std::span<const float>();
  const std::span<float> losses(nll.data_ptr<float>(), static_cast<size_t>(nll.numel()));
  at::parallel_for(0, logits.size(0), 1, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const auto row = static_cast<size_t>(first + r), from = static_cast<size_t>(starts[row]);
      const auto count = static_cast<size_t>(starts[row + 1]) - from;
      const auto w = weights.empty() ? weights : weights.subspan(from, count);
      with_elements(logits, [&](auto* x) {
        one_row(x + r * n, n, ids.subspan(from, count), w, smoothing, losses.subspan(from, count));
      });
    }
  });
}

}  // namespace

RowTargets row_targets(std::span<const int64_t> starts, std::span<const int32_t> ids, std::span<const float> weights,
                       at::Device device) {
  GAGGLE_CHECK(!starts.empty() && starts.back() - starts.front() == static_cast<int64_t>(ids.size()));
  GAGGLE_CHECK(weights.empty() || weights.size() == ids.size());
  std::vector<int32_t> numbers;
  for (const int64_t start : starts) numbers.push_back(static_cast<int32_t>(start - starts.front()));
  numbers.insert(numbers.end(), ids.begin(), ids.end());
  const at::Tensor there = to_device(numbers, device);
  const auto bounds = static_cast<int64_t>(starts.size()), count = static_cast<int64_t>(ids.size());
  RowTargets targets{there.narrow(0, 0, bounds), there.narrow(0, bounds, count), {}};
  if (!weights.empty()) targets.weights = to_device(weights, device);
  return targets;
}

void cross_entropy_(at::Tensor& logits, const RowTargets& targets, int64_t first, at::Tensor& nll, double smoothing) {
  GAGGLE_CHECK(first + logits.size(0) < targets.starts.size(0) && nll.numel() == targets.ids.numel());
  GAGGLE_CHECK(nll.scalar_type() == at::kFloat && nll.device() == logits.device());
  GAGGLE_CHECK(smoothing >= 0 && smoothing < 1, "label smoothing {}", smoothing);
  if (on_cpu(logits)) return by_loops(logits, targets, first, nll, static_cast<float>(smoothing));
  if (const CudaKernels* cuda = cuda_kernels(logits))
    return cuda->cross_entropy(logits.data_ptr(), is_bf16(logits), targets.starts.data_ptr<int32_t>() + first,
                               targets.ids.data_ptr<int32_t>(),
                               targets.weights.defined() ? float_of(targets.weights) : nullptr, float_of(nll),
                               logits.size(0), logits.size(1), static_cast<float>(smoothing), LaunchStream(logits));
  by_operators(logits, targets, first, nll, smoothing);
}

}  // namespace gaggle
