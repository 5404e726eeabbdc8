#include "kernel/norm.h"
#include "model/t5.h"
#include "model/t5_blocks.h"

namespace gaggle {
namespace {

// dy [T, hidden]: gradient of what the block added → of the stream before it, added to d;
// returned in the activations' type.
at::Tensor feed_forward_backward(const T5Pass& pass, const T5FeedForward& block, T5FeedForwardTape kept,
                                 const at::Tensor& dy, at::Tensor& d) {
  SiteAdapter& adapter = *pass.adapter;
  const uint64_t inner = t5_places::activation(block.wo);
  const at::Tensor h = pass.dropout.dropped(t5_activation(pass.spec, kept.gate, kept.up), inner);
  at::Tensor dh = block.wo.dx(h, pass.dropout.dropped(dy, t5_places::block(block.wo)), adapter);
  pass.dropout.drop(dh, inner);
  t5_activation_backward_(pass.spec, kept.gate, kept.up, dh);  // gate and up are their gradients from here on
  const at::Tensor x = rms_norm(kept.input, block.norm, pass.spec.norm_eps, pass.dtype);
  const at::Tensor dx = pass.spec.gated ? joint_dx(x, {{block.wi[0], kept.gate}, {block.wi[1], kept.up}}, adapter)
                                        : block.wi[0].dx(x, kept.gate, adapter);
  return rms_norm_backward(kept.input, dx, block.norm, pass.spec.norm_eps, d);
}

AttentionGrad attend_backward(const T5Pass& pass, const T5Attention& block, const T5AttentionTape& kept,
                              const at::Tensor& k, const at::Tensor& v, const AttentionPlan& plan,
                              const PositionBias* bias, const at::Tensor& dy) {
  const at::Tensor dx = block.o.dx(kept.attended.y, pass.dropout.dropped(dy, t5_places::block(block.o)), *pass.adapter);
  const AttentionDropout dropout = pass.dropout.of_attention(t5_places::probabilities(block.o));
  return attention_backward(kept.q, k, v, kept.attended, dx, plan, pass.heads,
                            {bias, pass.dropout.on() ? &dropout : nullptr});
}

// Of the first layer nothing is returned: no gradient is wanted below it.
at::Tensor self_attention_backward(const T5Pass& pass, size_t layer, const T5AttentionTape& kept, const at::Tensor& dy,
                                   at::Tensor& d) {
  const T5Attention& block = pass.stack.layers[layer].self;
  const AttentionGrad grad = attend_backward(pass, block, kept, kept.k, kept.v, pass.plan, &pass.stack.bias, dy);
  const at::Tensor x = rms_norm(kept.input, block.norm, pass.spec.norm_eps, pass.dtype);
  const auto outputs = {OutputGradient{block.q, grad.q}, {block.k, grad.k}, {block.v, grad.v}};
  if (layer > 0)
    return rms_norm_backward(kept.input, joint_dx(x, outputs, *pass.adapter), block.norm, pass.spec.norm_eps, d);
  parameters_backward(x, outputs, *pass.adapter);
  return {};
}

at::Tensor cross_attention_backward(const T5Pass& pass, size_t layer, const T5AttentionTape& kept, const at::Tensor& dy,
                                    at::Tensor& d, at::Tensor& d_encoded) {
  const T5Attention& block = pass.stack.layers[layer].cross;
  const AttentionGrad grad = attend_backward(pass, block, kept, pass.source_keys[layer], pass.source_values[layer],
                                             pass.cross_plan, nullptr, dy);
  d_encoded.add_(joint_dx(pass.encoded, {{block.k, grad.k}, {block.v, grad.v}}, *pass.adapter));
  const at::Tensor x = rms_norm(kept.input, block.norm, pass.spec.norm_eps, pass.dtype);
  return rms_norm_backward(kept.input, block.q.dx(x, grad.q, *pass.adapter), block.norm, pass.spec.norm_eps, d);
}

}  // namespace

void t5_layers_backward(const T5Pass& pass, at::Tensor d, std::vector<T5Tape>& tape, at::Tensor& d_encoded) {
  at::Tensor dy = d.to(pass.dtype);  // d in the activations' type
  for (size_t layer = tape.size(); layer-- > 0;) {
    const T5Layer& weights = pass.stack.layers[layer];
    T5Tape kept = std::move(tape[layer]);
    if (pass.recompute) kept = t5_layer_again(pass, layer, kept.self.input);
    dy = feed_forward_backward(pass, weights.feed_forward, std::move(kept.feed_forward), dy, d);
    if (!pass.source_keys.empty()) dy = cross_attention_backward(pass, layer, kept.cross, dy, d, d_encoded);
    dy = self_attention_backward(pass, layer, kept.self, dy, d);
  }
}

}  // namespace gaggle
