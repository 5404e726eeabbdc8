#include "kernel/cross_entropy.h"

#include <ATen/Parallel.h>

#include <cmath>

#include "base/error.h"
#include "kernel/dispatch.h"

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

void plain(at::Tensor& logits, std::span<const int64_t> starts, std::span<const int32_t> ids,
           std::span<const float> weights, double smoothing, std::span<float> nll) {
  const at::ScalarType type = sum_type(logits.scalar_type());
  const auto on = at::TensorOptions().device(logits.device());
  std::vector<int64_t> row, id(ids.begin(), ids.end());
  for (size_t r = 0; r + 1 < starts.size(); ++r)
    row.insert(row.end(), static_cast<size_t>(starts[r + 1] - starts[r]), static_cast<int64_t>(r));
  const at::Tensor rows = at::tensor(row, at::kLong).to(on), columns = at::tensor(id, at::kLong).to(on);
  const at::Tensor logp = at::log_softmax(logits.to(type), -1);
  at::Tensor losses = -logp.index_select(0, rows).gather(1, columns.unsqueeze(1)).squeeze(1);
  if (smoothing > 0) losses.mul_(1 - smoothing).sub_(logp.mean(1).index_select(0, rows), smoothing);
  const at::Tensor host = losses.to(at::kCPU, at::kFloat).contiguous();
  std::copy_n(host.data_ptr<float>(), nll.size(), nll.begin());
  if (weights.empty()) return;
  const at::Tensor w = at::tensor(std::vector<float>(weights.begin(), weights.end()), at::kFloat).to(on).to(type);
  const at::Tensor total = at::zeros({logits.size(0)}, w.options()).index_add_(0, rows, w);
  at::Tensor grad = logp.exp().mul_(total.unsqueeze(1));
  if (smoothing > 0) grad.sub_(total.unsqueeze(1), smoothing / static_cast<double>(logits.size(1)));
  grad.index_put_({rows, columns}, smoothing > 0 ? w * (smoothing - 1) : -w, true);
  logits.copy_(grad);
}

}  // namespace

void cross_entropy_(at::Tensor& logits, std::span<const int64_t> starts, std::span<const int32_t> ids,
                    std::span<const float> weights, std::span<float> nll, double smoothing) {
  const int64_t n = logits.size(1);
  GAGGLE_CHECK(static_cast<int64_t>(starts.size()) == logits.size(0) + 1 && nll.size() == ids.size());
  GAGGLE_CHECK(weights.empty() || weights.size() == ids.size());
  GAGGLE_CHECK(smoothing >= 0 && smoothing < 1, "label smoothing {}", smoothing);
  for (int32_t id : ids) GAGGLE_CHECK(id >= 0 && id < n, "token id {} of {}", id, n);
  if (!on_cpu(logits)) return plain(logits, starts, ids, weights, smoothing, nll);
  const auto share = static_cast<float>(smoothing);
  at::parallel_for(0, logits.size(0), 1, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const auto i = static_cast<size_t>(r), first = static_cast<size_t>(starts[i] - starts[0]);
      const auto count = static_cast<size_t>(starts[i + 1] - starts[i]);
      const auto w = weights.empty() ? weights : weights.subspan(first, count);
      const auto targets = ids.subspan(first, count);
      const auto losses = nll.subspan(first, count);
      with_elements(logits, [&](auto* x) { one_row(x + r * n, n, targets, w, share, losses); });
    }
  });
}

}  // namespace gaggle
