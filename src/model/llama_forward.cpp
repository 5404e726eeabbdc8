#include "kernel/gated.h"
#include "kernel/norm.h"
#include "model/llama.h"
#include "model/residual.h"

namespace gaggle {
namespace {

// x [T, heads · head_dim]: norm per head, then rotation. `raw` keeps what the norm's backward needs.
void shape_heads(const LlamaPass& pass, at::Tensor& x, const at::Tensor& norm, at::Tensor* raw) {
  if (norm.defined()) {
    if (raw) *raw = x;
    x = rms_norm(x.view({-1, pass.spec.head_dim}), norm, pass.spec.norm_eps, pass.dtype).view(x.sizes());
  }
  rotary_(x, pass.turns, pass.rotary, false);
}

at::Tensor attend(const LlamaPass& pass, size_t layer, const at::Tensor& x, LayerTape* tape) {
  const LlamaLayer& weights = pass.layers[layer];
  at::Tensor q = weights.linears[q_proj].forward(x, pass.adapter);
  at::Tensor k = weights.linears[k_proj].forward(x, pass.adapter);
  at::Tensor v = weights.linears[v_proj].forward(x, pass.adapter);
  shape_heads(pass, q, weights.q_norm, tape ? &tape->q_raw : nullptr);
  shape_heads(pass, k, weights.k_norm, tape ? &tape->k_raw : nullptr);
  if (pass.cache) pass.cache->append(layer, k, v);
  const Attended attended = attention(q, k, v, pass.plan_of(layer), pass.heads);
  if (tape) tape->q = q, tape->k = k, tape->v = v, tape->attended = attended;
  return weights.linears[o_proj].forward(attended.y, pass.adapter);
}

struct GateAndUp {
  at::Tensor gate, up;
};

GateAndUp gate_and_up(const LlamaPass& pass, size_t layer, const at::Tensor& x) {
  const auto& linears = pass.layers[layer].linears;
  return {linears[gate_proj].forward(x, pass.adapter), linears[up_proj].forward(x, pass.adapter)};
}

at::Tensor feed_forward(const LlamaPass& pass, size_t layer, const at::Tensor& x, LayerTape* tape) {
  const auto [gate, up] = gate_and_up(pass, layer, x);
  const at::Tensor y =
      pass.layers[layer].linears[down_proj].forward(gated(pass.spec.activation, gate, up), pass.adapter);
  if (tape) tape->gate = gate, tape->up = up;
  return y;
}

// Up to the norm before the feed-forward block, which is returned. input (may be null): the stream before the layer.
at::Tensor attend_layer(const LlamaPass& pass, size_t layer, ResidualStream& stream, at::Tensor* input,
                        LayerTape* kept) {
  const LlamaLayer& weights = pass.layers[layer];
  at::Tensor x = stream.norm(weights.input_norm);
  if (input) *input = stream.values();
  stream.add(attend(pass, layer, x, kept));
  x = stream.norm(weights.mlp_norm);
  if (kept) kept->middle = stream.values();
  return x;
}

}  // namespace

LayerTape llama_layer_again(const LlamaPass& pass, size_t layer, const at::Tensor& input) {
  LayerTape tape;
  tape.input = input;
  ResidualStream stream(input, pass.spec.norm_eps, pass.dtype, /*kept=*/true);
  const at::Tensor x = attend_layer(pass, layer, stream, nullptr, &tape);
  const auto [gate, up] = gate_and_up(pass, layer, x);  // nobody asks for what down_proj makes of them
  tape.gate = gate, tape.up = up;
  return tape;
}

at::Tensor llama_layers(const LlamaPass& pass, at::Tensor residual, std::vector<LayerTape>* tape) {
  ResidualStream stream(std::move(residual), pass.spec.norm_eps, pass.dtype, tape != nullptr);
  for (size_t layer = 0; layer < pass.layers.size(); ++layer) {
    at::Tensor* input = tape ? &(*tape)[layer].input : nullptr;
    LayerTape* kept = tape && !pass.recompute ? &(*tape)[layer] : nullptr;
    const at::Tensor x = attend_layer(pass, layer, stream, input, kept);
    stream.add(feed_forward(pass, layer, x, kept));
  }
  return stream.finish();
}

}  // namespace gaggle
