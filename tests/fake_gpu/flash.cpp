// Flash attention as LibTorch's operators promise it on CUDA, by plain products on the CPU: for what calls them.
#include <ATen/ATen.h>
#include <torch/library.h>

#include <cmath>

#include "fake_gpu.h"
#include "operators.h"

namespace gaggle::fake_gpu {
namespace {

using Index = const std::optional<at::Tensor>&;

struct Sequence {
  at::Tensor q, k, v;  // [heads, n | m, d] fp32, every query head with its keys
  at::Tensor p;        // [heads, n, m]
  at::Tensor lse;      // [heads, n]
};

struct Mask {
  bool causal = true;
  int64_t left = -1, right = -1;
};

// Rows [begin, end) of x [T, heads, d] as [all heads, n, d].
at::Tensor rows(const at::Tensor& x, int64_t begin, int64_t end, int64_t heads) {
  return x.slice(0, begin, end).to(at::kFloat).transpose(0, 1).repeat_interleave(heads / x.size(1), 0);
}

Sequence attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, double scale, const Mask& mask) {
  Sequence one{q, k, v, {}, {}};
  const int64_t n = q.size(1), m = k.size(1);
  at::Tensor scores = at::bmm(q, k.transpose(1, 2)) * scale;
  // The last query stands beside the last key.
  const at::Tensor at = at::arange(n).unsqueeze(1) + (m - n), key = at::arange(m).unsqueeze(0);
  at::Tensor hidden = at::zeros({n, m}, at::kBool);
  if (mask.causal || mask.right >= 0) hidden = hidden | (key > at + (mask.causal ? 0 : mask.right));
  if (mask.left >= 0) hidden = hidden | (key < at - mask.left);
  scores.masked_fill_(hidden, -INFINITY);
  one.lse = at::logsumexp(scores, -1);
  one.p = at::softmax(scores, -1).nan_to_num(0);
  return one;
}

void require(bool condition, const char* what) { TORCH_CHECK(condition, "flash attention on a GPU: ", what); }

void check(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, Index starts, Index key_starts,
           double dropout) {
  for (const at::Tensor& x : {q, k, v}) {
    require(x.scalar_type() == at::kBFloat16 || x.scalar_type() == at::kHalf, "bf16 or fp16 only");
    require(x.dim() == 3 && x.stride(-1) == 1, "[tokens, heads, head_dim] only");
    require(x.size(2) == q.size(2) && x.size(2) % 8 == 0 && x.size(2) <= 256, "head_dim");
  }
  require(q.size(1) % k.size(1) == 0 && k.sizes() == v.sizes(), "heads");
  for (Index x : {starts, key_starts}) require(x && x->scalar_type() == at::kInt && x->is_contiguous(), "int32 starts");
  require(dropout == 0, "no dropout here");
}

struct Host {
  at::Tensor q, k, v;
  std::vector<int64_t> starts, key_starts;
};

std::vector<int64_t> numbers(const at::Tensor& x) {
  const at::Tensor wide = to_host(x).to(at::kLong);
  return {wide.const_data_ptr<int64_t>(), wide.const_data_ptr<int64_t>() + wide.numel()};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor> forward(
    const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, Index starts, Index key_starts, int64_t, int64_t,
    double dropout, bool causal, bool, std::optional<double> scale, std::optional<int64_t> left,
    std::optional<int64_t> right, Index, Index) {
  check(q, k, v, starts, key_starts, dropout);
  const Operator running("flash attention", 1);
  const Host host{to_host(q), to_host(k), to_host(v), numbers(*starts), numbers(*key_starts)};
  const int64_t heads = q.size(1);
  at::Tensor y = at::zeros(q.sizes(), at::kFloat), lse = at::full({heads, q.size(0)}, -INFINITY, at::kFloat);
  for (size_t s = 0; s + 1 < host.starts.size(); ++s) {
    const int64_t from = host.starts[s], to = host.starts[s + 1];
    const auto keys = [&](const at::Tensor& x) { return rows(x, host.key_starts[s], host.key_starts[s + 1], heads); };
    const Sequence one = attend(rows(host.q, from, to, heads), keys(host.k), keys(host.v), scale.value(),
                                {causal, left.value_or(-1), right.value_or(-1)});
    y.slice(0, from, to).copy_(at::bmm(one.p, one.v).transpose(0, 1));
    lse.slice(1, from, to).copy_(one.lse);
  }
  const at::Tensor none = at::zeros({2}, at::kLong);
  return {to_device(y.to(q.scalar_type()), q), to_device(lse, q), to_device(none, q), to_device(none, q), {}};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> backward(const at::Tensor& dy, const at::Tensor& q, const at::Tensor& k,
                                                        const at::Tensor& v, const at::Tensor& y, const at::Tensor& lse,
                                                        const at::Tensor& starts, const at::Tensor& key_starts, int64_t,
                                                        int64_t, double dropout, bool causal, const at::Tensor& seed,
                                                        const at::Tensor&, std::optional<double> scale,
                                                        std::optional<int64_t> left, std::optional<int64_t> right) {
  check(q, k, v, starts, key_starts, dropout);
  require(seed.defined() && lse.size(1) == q.size(0) && y.sizes() == q.sizes(), "what the forward pass returned");
  const Operator running("flash attention backward", q.size(1) == k.size(1) ? 3 : 5);
  const Host host{to_host(q), to_host(k), to_host(v), numbers(starts), numbers(key_starts)};
  const at::Tensor d = to_host(dy);
  const int64_t heads = q.size(1), kv = k.size(1), width = q.size(2);
  at::Tensor dq = at::zeros(q.sizes(), at::kFloat), dk = at::zeros(k.sizes(), at::kFloat), dv = dk.clone();
  for (size_t s = 0; s + 1 < host.starts.size(); ++s) {
    const int64_t from = host.starts[s], to = host.starts[s + 1], first = host.key_starts[s],
                  last = host.key_starts[s + 1];
    const Sequence one =
        attend(rows(host.q, from, to, heads), rows(host.k, first, last, heads), rows(host.v, first, last, heads),
               scale.value(), {causal, left.value_or(-1), right.value_or(-1)});
    const at::Tensor dout = rows(d, from, to, heads);
    const at::Tensor dp = at::bmm(dout, one.v.transpose(1, 2));
    const at::Tensor ds = one.p * (dp - (one.p * dp).sum(-1, true)) * scale.value();
    const auto of_keys = [&](const at::Tensor& x) {  // summed over the query heads of a key head
      return x.view({kv, heads / kv, last - first, width}).sum(1).transpose(0, 1);
    };
    dq.slice(0, from, to).copy_(at::bmm(ds, one.k).transpose(0, 1));
    dk.slice(0, first, last).copy_(of_keys(at::bmm(ds.transpose(1, 2), one.q)));
    dv.slice(0, first, last).copy_(of_keys(at::bmm(one.p.transpose(1, 2), dout)));
  }
  return {to_device(dq.to(q.scalar_type()), q), to_device(dk.to(q.scalar_type()), q),
          to_device(dv.to(q.scalar_type()), q)};
}

}  // namespace

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  library.impl("_flash_attention_forward", forward);
  library.impl("_flash_attention_backward", backward);
}

}  // namespace gaggle::fake_gpu
