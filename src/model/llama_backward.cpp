#include "base/error.h"
#include "kernel/gated.h"
#include "kernel/norm.h"
#include "model/llama.h"

namespace gaggle {
namespace {

// dx of one linear and its adapter.
at::Tensor input_gradient(const LlamaPass& pass, size_t layer, LinearIndex index, const at::Tensor& x,
                          const at::Tensor& dy) {
  const Site& site = pass.site(layer, index);
  at::Tensor dx = pass.weights.layers[layer].linears[index].dx(pass.adapter->rescaled_gradient(site, dy));
  pass.adapter->backward(site, x, dy, dx);
  return dx;
}

void add_input_gradient(const LlamaPass& pass, size_t layer, LinearIndex index, const at::Tensor& x,
                        const at::Tensor& dy, at::Tensor& dx) {
  const Site& site = pass.site(layer, index);
  dx = pass.weights.layers[layer].linears[index].add_dx(pass.adapter->rescaled_gradient(site, dy), dx);
  pass.adapter->backward(site, x, dy, dx);
}

// Back through rotation and norm per head, in place.
void shape_heads_backward(const LlamaPass& pass, at::Tensor& dx, const at::Tensor& norm,
                          const at::Tensor& raw) {
  rotary_(dx, pass.positions, pass.rotary, true);
  if (!norm.defined()) return;
  at::Tensor heads = dx.view({-1, pass.spec.head_dim});
  rms_norm_backward_(raw.view({-1, pass.spec.head_dim}), heads, norm, pass.spec.norm_eps);
}

}  // namespace

void llama_layers_backward(const LlamaPass& pass, at::Tensor d, std::vector<LayerTape>& tape) {
  const double eps = pass.spec.norm_eps;
  at::Tensor dy = d.to(pass.dtype);  // d in the activations' type
  for (size_t layer = tape.size(); layer-- > 0;) {
    const LlamaLayer& weights = pass.weights.layers[layer];
    LayerTape kept = std::move(tape[layer]);

    at::Tensor dx = input_gradient(pass, layer, down_proj, gated(Activation::silu, kept.gate, kept.up), dy);
    gated_backward_(Activation::silu, kept.gate, kept.up, dx);  // gate and up are their gradients from here on
    at::Tensor x = rms_norm(kept.middle, weights.mlp_norm, eps, pass.dtype);
    dx = input_gradient(pass, layer, gate_proj, x, kept.gate);
    add_input_gradient(pass, layer, up_proj, x, kept.up, dx);
    dy = rms_norm_backward(kept.middle, dx, weights.mlp_norm, eps, d);

    dx = input_gradient(pass, layer, o_proj, kept.context, dy);
    AttentionGrad grad = attention_backward(kept.q, kept.k, kept.v, dx, pass.plan, pass.heads());
    shape_heads_backward(pass, grad.q, weights.q_norm, kept.q_raw);
    shape_heads_backward(pass, grad.k, weights.k_norm, kept.k_raw);
    x = rms_norm(kept.input, weights.input_norm, eps, pass.dtype);
    dx = input_gradient(pass, layer, q_proj, x, grad.q);
    add_input_gradient(pass, layer, k_proj, x, grad.k, dx);
    add_input_gradient(pass, layer, v_proj, x, grad.v, dx);
    if (layer > 0) dy = rms_norm_backward(kept.input, dx, weights.input_norm, eps, d);
  }
}

}  // namespace gaggle
