#include "model/residual.h"
#include "model/t5.h"
#include "model/t5_blocks.h"

namespace gaggle {
namespace {

at::Tensor attend(const T5Pass& pass, const T5Attention& block, const at::Tensor& q, const at::Tensor& k,
                  const at::Tensor& v, const AttentionPlan& plan, const PositionBias* bias, T5AttentionTape* tape) {
  const AttentionDropout dropout = pass.dropout.of_attention(t5_places::probabilities(block.o));
  const Attended attended = attention(q, k, v, plan, pass.heads, {bias, pass.dropout.on() ? &dropout : nullptr});
  if (tape) tape->q = q, tape->attended = attended;
  at::Tensor y = block.o.forward(attended.y, pass.adapter);
  pass.dropout.drop(y, t5_places::block(block.o));
  return y;
}

at::Tensor self_attention(const T5Pass& pass, size_t layer, const at::Tensor& x, T5AttentionTape* tape) {
  const T5Attention& block = pass.stack.layers[layer].self;
  const at::Tensor q = block.q.forward(x, pass.adapter);
  at::Tensor k = block.k.forward(x, pass.adapter), v = block.v.forward(x, pass.adapter);
  if (tape) tape->k = k, tape->v = v;
  if (pass.cache) pass.cache->append(layer, k, v);
  return attend(pass, block, q, k, v, pass.plan, &pass.stack.bias, tape);
}

at::Tensor cross_attention(const T5Pass& pass, size_t layer, const at::Tensor& x, T5AttentionTape* tape) {
  const T5Attention& block = pass.stack.layers[layer].cross;
  return attend(pass, block, block.q.forward(x, pass.adapter), pass.source_keys[layer], pass.source_values[layer],
                pass.cross_plan, nullptr, tape);
}

T5FeedForwardTape gate_and_up(const T5Pass& pass, const T5FeedForward& block, const at::Tensor& x) {
  return {
      {}, block.wi[0].forward(x, pass.adapter), pass.spec.gated ? block.wi[1].forward(x, pass.adapter) : at::Tensor()};
}

at::Tensor feed_forward(const T5Pass& pass, const T5FeedForward& block, const at::Tensor& x, T5FeedForwardTape* tape) {
  const auto [input, gate, up] = gate_and_up(pass, block, x);
  if (tape) tape->gate = gate, tape->up = up;
  at::Tensor h = t5_activation(pass.spec, gate, up);
  pass.dropout.drop(h, t5_places::activation(block.wo));
  at::Tensor y = block.wo.forward(h, pass.adapter);
  pass.dropout.drop(y, t5_places::block(block.wo));
  return y;
}

// Up to the norm before the feed-forward block, which is returned. input (may be null): the stream before the layer.
at::Tensor attend_layer(const T5Pass& pass, size_t layer, ResidualStream& stream, at::Tensor* input, T5Tape* kept) {
  const T5Layer& weights = pass.stack.layers[layer];
  at::Tensor x = stream.norm(weights.self.norm);
  if (input) *input = stream.values();
  stream.add(self_attention(pass, layer, x, kept ? &kept->self : nullptr));
  if (!pass.source_keys.empty()) {
    x = stream.norm(weights.cross.norm);
    if (kept) kept->cross.input = stream.values();
    stream.add(cross_attention(pass, layer, x, kept ? &kept->cross : nullptr));
  }
  x = stream.norm(weights.feed_forward.norm);
  if (kept) kept->feed_forward.input = stream.values();
  return x;
}

}  // namespace

T5Tape t5_layer_again(const T5Pass& pass, size_t layer, const at::Tensor& input) {
  T5Tape tape;
  tape.self.input = input;
  ResidualStream stream(input, pass.spec.norm_eps, pass.dtype, /*kept=*/true);
  const at::Tensor x = attend_layer(pass, layer, stream, nullptr, &tape);
  // Nobody asks for what wo makes of them.
  const auto [none, gate, up] = gate_and_up(pass, pass.stack.layers[layer].feed_forward, x);
  tape.feed_forward.gate = gate, tape.feed_forward.up = up;
  return tape;
}

at::Tensor t5_layers(const T5Pass& pass, at::Tensor residual, std::vector<T5Tape>* tape) {
  ResidualStream stream(std::move(residual), pass.spec.norm_eps, pass.dtype, tape != nullptr);
  for (size_t layer = 0; layer < pass.stack.layers.size(); ++layer) {
    at::Tensor* input = tape ? &(*tape)[layer].self.input : nullptr;
    T5Tape* kept = tape && !pass.recompute ? &(*tape)[layer] : nullptr;
    const at::Tensor x = attend_layer(pass, layer, stream, input, kept);
    stream.add(feed_forward(pass, pass.stack.layers[layer].feed_forward, x, kept ? &kept->feed_forward : nullptr));
  }
  return stream.finish();
}

void t5_read_sources(T5Pass& pass) {
  for (const T5Layer& layer : pass.stack.layers) {
    pass.source_keys.push_back(layer.cross.k.forward(pass.encoded, pass.adapter));
    pass.source_values.push_back(layer.cross.v.forward(pass.encoded, pass.adapter));
  }
}

}  // namespace gaggle
