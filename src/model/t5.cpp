#include "model/t5.h"

#include <algorithm>

#include "base/error.h"
#include "kernel/norm.h"
#include "model/t5_blocks.h"

namespace gaggle {

T5Model::T5Model(const ModelCheckpoint& checkpoint, at::ScalarType dtype, at::Device device, BaseUse use,
                 Storage storage, ShardGroup ranks)
    : BaseModel(checkpoint, t5_sites(checkpoint.spec()), dtype, device, use, storage, std::move(ranks)),
      heads_{spec_.heads, spec_.heads, spec_.head_dim, 1, /*bare=*/false} {
  const c10::InferenceMode no_autograd;
  if (use == BaseUse::planning) return;
  WeightTensors weights = read_weights(checkpoint, dtype, device, storage, shards_);
  size_t next = 0;  // sites lie in the order that they are taken in
  const auto linear = [&] { return take_linear(weights, sites_[next++]); };
  const auto norm = [&](const std::string& layer) { return weights.take(layer + ".layer_norm.weight"); };
  const auto load = [&](T5Stack& stack, const std::string& name, int64_t layers, bool decoder) {
    for (int64_t l = 0; l < layers; ++l) {
      const std::string block = fmt::format("{}.block.{}.layer.", name, l);
      T5Layer& layer = stack.layers.emplace_back();
      layer.self = {linear(), linear(), linear(), linear(), norm(block + "0")};
      if (decoder) layer.cross = {linear(), linear(), linear(), linear(), norm(block + "1")};
      layer.feed_forward.wi.push_back(linear());
      if (spec_.gated) layer.feed_forward.wi.push_back(linear());
      layer.feed_forward.wo = linear();
      layer.feed_forward.norm = norm(block + (decoder ? "2" : "1"));
    }
    stack.position_bias = weights.take(name + ".block.0.layer.0.SelfAttention.relative_attention_bias.weight");
  };
  load(encoder_, "encoder", spec_.encoder_layers, false);
  load(decoder_, "decoder", spec_.layers, true);
  encoder_.norm = weights.take("encoder.final_layer_norm.weight");
  take_ends(weights, "shared.weight", "decoder.final_layer_norm.weight");
}

void T5Model::reach(T5Stack& stack, const TokenSequences& tokens, bool bidirectional) {
  const int64_t need = std::ranges::max(tokens.positions) + 1;
  if (need > stack.bias.reach)
    stack.bias = t5_position_bias(stack.position_bias, bidirectional, spec_.position_max_distance,
                                  std::max<int64_t>(2 * need, 512));
}

T5Pass T5Model::begin_encoder(const Microbatch& batch, SiteAdapter* adapter, const BaseDropout& dropout) {
  check_tokens(batch.encoder);
  reach(encoder_, batch.encoder, /*bidirectional=*/true);
  AttentionPlan plan = plan_encoder_attention(batch.encoder, heads_, activations());
  TokenDropout noise(dropout, batch, Side::encoder);
  return {spec_, dtype_, heads_, encoder_, std::move(plan), adapter, std::move(noise)};
}

T5Pass T5Model::begin_decoder(const Microbatch& batch, std::span<const int64_t> source_starts, SiteAdapter* adapter,
                              KeyValueCache* cache, const BaseDropout& dropout) {
  check_tokens(batch.decoder);
  reach(decoder_, batch.decoder, /*bidirectional=*/false);
  TokenDropout noise(dropout, batch, Side::decoder);
  AttentionPlan plan = plan_attention(batch, cache ? cache->length : 0, 0, heads_, activations());
  HeadShape unbiased = heads_;
  unbiased.bare = !noise.on();
  AttentionPlan cross = plan_cross_attention(batch, source_starts, unbiased, activations());
  return {spec_, dtype_, heads_, decoder_, std::move(plan), adapter, std::move(noise), cache, std::move(cross)};
}

at::Tensor T5Model::encode(const Microbatch& batch, const T5Pass& pass, std::vector<T5Tape>* tape,
                           at::Tensor& encoded) {
  at::Tensor residual = embed(batch.encoder);
  pass.dropout.drop(residual, t5_places::embedding);
  at::Tensor last = t5_layers(pass, std::move(residual), tape);
  encoded = rms_norm(last, encoder_.norm, spec_.norm_eps, dtype_);
  pass.dropout.drop(encoded, t5_places::final_norm);
  return last;
}

at::Tensor T5Model::forward(const Microbatch& batch, SiteAdapter* adapter, KeyValueCache* cache) {
  const c10::InferenceMode no_autograd;
  GAGGLE_CHECK(cache || batch.past.empty(), "cached tokens without a cache");
  const bool encodes = batch.encoder.count() > 0;
  GAGGLE_CHECK(encodes || (cache && !cache->source_keys.empty()), "nothing for cross-attention to read");
  if (adapter) adapter->begin(batch);
  if (cache) cache->reserve(spec_.layers, batch.decoder.count(), spec_.heads * spec_.head_dim, activations());
  T5Pass pass = begin_decoder(batch, encodes ? batch.encoder.starts : cache->source_starts, adapter, cache, {});
  if (encodes) {
    encode(batch, begin_encoder(batch, adapter, {}), nullptr, pass.encoded);
    t5_read_sources(pass);
    if (cache) {
      cache->source_keys = pass.source_keys;
      cache->source_values = pass.source_values;
      cache->source_starts = batch.encoder.starts;
    }
  } else {
    pass.source_keys = cache->source_keys;
    pass.source_values = cache->source_values;
  }
  const at::Tensor residual = t5_layers(pass, embed(batch.decoder), nullptr);
  if (cache) cache->length += batch.decoder.count();
  return rms_norm(residual, norm_, spec_.norm_eps, dtype_);
}

at::Tensor T5Model::forward_backward(const Microbatch& batch, SiteAdapter& adapter, const LossOptions& loss,
                                     const BaseDropout& dropout) {
  const c10::InferenceMode no_autograd;
  GAGGLE_CHECK(batch.past.empty(), "training has no cached tokens");
  adapter.begin(batch);
  std::vector<T5Tape> encoder_tape(encoder_.layers.size()), tape(decoder_.layers.size());
  T5Pass encoder = begin_encoder(batch, &adapter, dropout);
  T5Pass pass = begin_decoder(batch, batch.encoder.starts, &adapter, nullptr, dropout);
  encoder.recompute = pass.recompute = recompute_;
  const at::Tensor encoder_last = encode(batch, encoder, &encoder_tape, pass.encoded);
  t5_read_sources(pass);
  at::Tensor residual = embed(batch.decoder);
  pass.dropout.drop(residual, t5_places::embedding);
  const at::Tensor last = t5_layers(pass, std::move(residual), &tape);

  const DropTokens drop = [&](at::Tensor& x, std::span<const int64_t> of) {
    pass.dropout.drop(x, of, t5_places::final_norm);
  };
  at::Tensor d, d_encoded = at::zeros_like(encoder_last), d_last = at::zeros_like(encoder_last);
  const at::Tensor nll = loss_backward(last, batch, loss, drop, d);
  t5_layers_backward(pass, d, tape, d_encoded);
  encoder.dropout.drop(d_encoded, t5_places::final_norm);
  rms_norm_backward(encoder_last, d_encoded.to(dtype_), encoder_.norm, spec_.norm_eps, d_last);
  t5_layers_backward(encoder, d_last, encoder_tape, d_encoded);
  return nll;
}

}  // namespace gaggle
