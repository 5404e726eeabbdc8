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

at::Tensor feed_forward(const T5Pass& pass, const T5FeedForward& block, const at::Tensor& x, T5FeedForwardTape* tape) {
  const at::Tensor gate = block.wi[0].forward(x, pass.adapter);
  const at::Tensor up = pass.spec.gated ? block.wi[1].forward(x, pass.adapter) : at::Tensor();
  if (tape) tape->gate = gate, tape->up = up;
  at::Tensor h = t5_activation(pass.spec, gate, up);
  pass.dropout.drop(h, t5_places::activation(block.wo));
  at::Tensor y = block.wo.forward(h, pass.adapter);
  pass.dropout.drop(y, t5_places::block(block.wo));
  return y;
}

}  // namespace

at::Tensor t5_layers(const T5Pass& pass, at::Tensor residual, std::vector<T5Tape>* tape) {
  ResidualStream stream(std::move(residual), pass.spec.norm_eps, pass.dtype, tape != nullptr);
  const bool reads_sources = !pass.source_keys.empty();
  for (size_t layer = 0; layer < pass.stack.layers.size(); ++layer) {
    const T5Layer& weights = pass.stack.layers[layer];
    T5Tape* kept = tape ? &(*tape)[layer] : nullptr;
    at::Tensor x = stream.norm(weights.self.norm);
    if (kept) kept->self.input = stream.values();
    stream.add(self_attention(pass, layer, x, kept ? &kept->self : nullptr));
    if (reads_sources) {
      x = stream.norm(weights.cross.norm);
      if (kept) kept->cross.input = stream.values();
      stream.add(cross_attention(pass, layer, x, kept ? &kept->cross : nullptr));
    }
    x = stream.norm(weights.feed_forward.norm);
    if (kept) kept->feed_forward.input = stream.values();
    stream.add(feed_forward(pass, weights.feed_forward, x, kept ? &kept->feed_forward : nullptr));
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
