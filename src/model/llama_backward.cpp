#include "kernel/gated.h"
#include "kernel/norm.h"
#include "model/llama.h"

namespace gaggle {
namespace {

// Back through rotation and norm per head, in place.
void shape_heads_backward(const LlamaPass& pass, at::Tensor& dx, const at::Tensor& norm, const at::Tensor& raw) {
  rotary_(dx, pass.turns, pass.rotary, true);
  if (!norm.defined()) return;
  at::Tensor heads = dx.view({-1, pass.spec.head_dim});
  rms_norm_backward_(raw.view({-1, pass.spec.head_dim}), heads, norm, pass.spec.norm_eps);
}

}  // namespace

void llama_layers_backward(const LlamaPass& pass, at::Tensor d, std::vector<LayerTape>& tape) {
  const double eps = pass.spec.norm_eps;
  SiteAdapter& adapter = *pass.adapter;
  at::Tensor dy = d.to(pass.dtype);  // d in the activations' type
  for (size_t layer = tape.size(); layer-- > 0;) {
    const LlamaLayer& weights = pass.layers[layer];
    const auto& linears = weights.linears;
    LayerTape kept = std::move(tape[layer]);
    if (pass.recompute) kept = llama_layer_again(pass, layer, kept.input);

    at::Tensor dx = linears[down_proj].dx(gated(pass.spec.activation, kept.gate, kept.up), dy, adapter);
    // From here on gate and up hold their own gradients.
    gated_backward_(pass.spec.activation, kept.gate, kept.up, dx);
    at::Tensor x = rms_norm(kept.middle, weights.mlp_norm, eps, pass.dtype);
    dx = joint_dx(x, {{linears[gate_proj], kept.gate}, {linears[up_proj], kept.up}}, adapter);
    dy = rms_norm_backward(kept.middle, dx, weights.mlp_norm, eps, d);

    dx = linears[o_proj].dx(kept.attended.y, dy, adapter);
    AttentionGrad grad = attention_backward(kept.q, kept.k, kept.v, kept.attended, dx, pass.plan_of(layer), pass.heads);
    shape_heads_backward(pass, grad.q, weights.q_norm, kept.q_raw);
    shape_heads_backward(pass, grad.k, weights.k_norm, kept.k_raw);
    x = rms_norm(kept.input, weights.input_norm, eps, pass.dtype);
    const auto outputs = {
        OutputGradient{linears[q_proj], grad.q}, {linears[k_proj], grad.k}, {linears[v_proj], grad.v}};
    if (layer == 0) return parameters_backward(x, outputs, adapter);
    dy = rms_norm_backward(kept.input, joint_dx(x, outputs, adapter), weights.input_norm, eps, d);
  }
}

}  // namespace gaggle
