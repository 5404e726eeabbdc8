#include <algorithm>

#include "base/error.h"
#include "kernel/gated.h"
#include "kernel/norm.h"
#include "model/llama.h"

namespace gaggle {
namespace {

at::Tensor apply(const LlamaPass& pass, size_t layer, LinearIndex index, const at::Tensor& x) {
  const FrozenLinear& linear = pass.weights.layers[layer].linears[index];
  if (!pass.adapter) return linear.forward(x);
  const Site& site = pass.site(layer, index);
  at::Tensor y = linear.forward(pass.adapter->rescaled_input(site, x));
  pass.adapter->forward(site, x, y);
  return y;
}

// The pool of this layer's keys or values with the rows' own appended; without a cache the rows' own alone.
at::Tensor append(std::vector<at::Tensor>& pool, size_t layer, int64_t length, const at::Tensor& own) {
  at::Tensor& all = pool[layer];
  all.narrow(0, length, own.size(0)).copy_(own);
  return all;
}

// x [T, heads · head_dim]: norm per head, then rotation. `raw` keeps what the norm's backward needs.
void shape_heads(const LlamaPass& pass, at::Tensor& x, const at::Tensor& norm, at::Tensor* raw) {
  if (norm.defined()) {
    if (raw) *raw = x;
    x = rms_norm(x.view({-1, pass.spec.head_dim}), norm, pass.spec.norm_eps, pass.dtype).view(x.sizes());
  }
  rotary_(x, pass.positions, pass.rotary, false);
}

at::Tensor attend(LlamaPass& pass, size_t layer, const at::Tensor& x, LayerTape* tape) {
  const LlamaLayer& weights = pass.weights.layers[layer];
  at::Tensor q = apply(pass, layer, q_proj, x);
  at::Tensor k = apply(pass, layer, k_proj, x);
  const at::Tensor v = apply(pass, layer, v_proj, x);
  shape_heads(pass, q, weights.q_norm, tape ? &tape->q_raw : nullptr);
  shape_heads(pass, k, weights.k_norm, tape ? &tape->k_raw : nullptr);
  at::Tensor context;
  if (KeyValueCache* cache = pass.cache) {
    const at::Tensor keys = append(cache->keys, layer, cache->length, k);
    const at::Tensor values = append(cache->values, layer, cache->length, v);
    context = attention(q, keys, values, pass.plan, pass.heads());
  } else {
    context = attention(q, k, v, pass.plan, pass.heads());
  }
  if (tape) tape->q = q, tape->k = k, tape->v = v, tape->context = context;
  return apply(pass, layer, o_proj, context);
}

at::Tensor feed_forward(const LlamaPass& pass, size_t layer, const at::Tensor& x, LayerTape* tape) {
  const at::Tensor gate = apply(pass, layer, gate_proj, x);
  const at::Tensor up = apply(pass, layer, up_proj, x);
  const at::Tensor y = apply(pass, layer, down_proj, gated(Activation::silu, gate, up));
  if (tape) tape->gate = gate, tape->up = up;
  return y;
}

}  // namespace

at::ScalarType residual_dtype(at::ScalarType activations) {
  return activations == at::kDouble ? at::kDouble : at::kFloat;
}

at::Tensor llama_layers(LlamaPass& pass, at::Tensor residual, std::vector<LayerTape>* tape) {
  const double eps = pass.spec.norm_eps;
  at::Tensor delta;  // what the last block adds to the residual stream; the next norm adds it on its way
  const auto next_norm = [&](const at::Tensor& weight) {
    if (!delta.defined()) return rms_norm(residual, weight, eps, pass.dtype);
    at::Tensor sum = tape ? at::empty_like(residual) : residual;  // a tape holds the old stream
    at::Tensor x = add_rms_norm(residual, delta, sum, weight, eps, pass.dtype);
    residual = sum;
    return x;
  };
  for (size_t layer = 0; layer < pass.weights.layers.size(); ++layer) {
    const LlamaLayer& weights = pass.weights.layers[layer];
    LayerTape* kept = tape ? &(*tape)[layer] : nullptr;
    at::Tensor x = next_norm(weights.input_norm);
    if (kept) kept->input = residual;
    delta = attend(pass, layer, x, kept);
    x = next_norm(weights.mlp_norm);
    if (kept) kept->middle = residual;
    delta = feed_forward(pass, layer, x, kept);
  }
  return tape ? residual.add(delta) : residual.add_(delta);
}

}  // namespace gaggle
