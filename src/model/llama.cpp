#include "model/llama.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "kernel/norm.h"
#include "kernel/upload.h"
#include "model/rope.h"

namespace gaggle {

std::vector<Site> llama_sites(const ModelSpec& spec) {
  const int64_t q = spec.heads * spec.head_dim, kv = spec.kv_heads * spec.head_dim;
  const int64_t d = spec.hidden, n = spec.intermediate;
  struct Linear {
    const char *module, *kind;
    int64_t d_in, d_out;
    bool rescaled = false, reads_activation = false;
  };
  const Linear linears[linears_per_layer] = {
      {"self_attn", "q_proj", d, q},         {"self_attn", "k_proj", d, kv, true}, {"self_attn", "v_proj", d, kv, true},
      {"self_attn", "o_proj", q, d},         {"mlp", "gate_proj", d, n},           {"mlp", "up_proj", d, n},
      {"mlp", "down_proj", n, d, true, true}};
  std::vector<Site> sites;
  for (int64_t l = 0; l < spec.layers; ++l)
    for (const auto& [module, kind, d_in, d_out, rescaled, reads_activation] : linears)
      sites.push_back({static_cast<int>(sites.size()), fmt::format("model.layers.{}.{}.{}", l, module, kind), kind,
                       static_cast<int>(l), d_in, d_out, Side::decoder, reads_activation, rescaled});
  return sites;
}

LlamaModel::LlamaModel(const ModelCheckpoint& checkpoint, at::ScalarType dtype, at::Device device, BaseUse use,
                       Storage storage, ShardGroup ranks)
    : BaseModel(checkpoint, llama_sites(checkpoint.spec()), dtype, device, use, storage, std::move(ranks)) {
  const c10::InferenceMode no_autograd;
  GAGGLE_CHECK(spec_.kv_heads > 0 && spec_.heads % spec_.kv_heads == 0 && spec_.head_dim % 2 == 0);
  if (use == BaseUse::planning) return;
  WeightTensors weights = read_weights(checkpoint, dtype, device, storage, shards_);
  layers_.resize(static_cast<size_t>(spec_.layers));
  for (size_t l = 0; l < layers_.size(); ++l) {
    const std::string prefix = fmt::format("model.layers.{}.", l);
    for (size_t i = 0; i < linears_per_layer; ++i)
      layers_[l].linears[i] = take_linear(weights, sites_[l * linears_per_layer + i]);
    layers_[l].input_norm = weights.take(prefix + "input_layernorm.weight");
    layers_[l].mlp_norm = weights.take(prefix + "post_attention_layernorm.weight");
    layers_[l].q_norm = weights.take(prefix + "self_attn.q_norm.weight");
    layers_[l].k_norm = weights.take(prefix + "self_attn.k_norm.weight");
  }
  take_ends(weights, "model.embed_tokens.weight", "model.norm.weight");
}

at::Tensor LlamaModel::turn(const TokenSequences& tokens) {
  const RopeScaling& scaling = spec_.rope_scaling;
  if (!scaling.by_length()) {
    const int64_t reach = std::ranges::max(tokens.positions) + 1;
    if (!rotary_.cos.defined() || rotary_.cos.size(0) < reach)
      rotary_ = rotary_table({{rope_frequencies(spec_, 0), 0, std::max<int64_t>(2 * reach, 512)}}, dtype_, device_,
                             scaling.attention_factor);
    return to_device(tokens.positions, device_);
  }
  std::vector<RotaryRun> runs;
  for (size_t s = 0; s + 1 < tokens.starts.size(); ++s) {
    const int64_t begin = tokens.starts[s], count = tokens.starts[s + 1] - begin;
    if (count == 0) continue;
    const int64_t first = tokens.positions[static_cast<size_t>(begin)];
    const int64_t length = tokens.lengths.empty() ? first + count : tokens.lengths[s];
    GAGGLE_CHECK(length >= first + count, "{} tokens in a text of {}", first + count, length);
    runs.push_back({rope_frequencies(spec_, length), first, count});
  }
  rotary_ = rotary_table(runs, dtype_, device_, scaling.attention_factor);
  return at::arange(tokens.count(), at::TensorOptions().dtype(at::kInt).device(device_));
}

LlamaPass LlamaModel::begin(const Microbatch& batch, SiteAdapter* adapter, KeyValueCache* cache) {
  check_tokens(batch.decoder);
  GAGGLE_CHECK(batch.encoder.count() == 0 && batch.sources.empty(), "{} has no encoder", spec_.name);
  if (adapter) adapter->begin(batch);
  const HeadShape heads{spec_.heads, spec_.kv_heads, spec_.head_dim,
                        1 / std::sqrt(static_cast<double>(spec_.head_dim))};
  const at::Tensor rows = turn(batch.decoder);
  const int64_t past = cache ? cache->length : 0;
  AttentionPlan plan = plan_attention(batch, past, spec_.sliding_window, heads, activations());
  AttentionPlan full = spec_.slides.empty() ? AttentionPlan() : plan_attention(batch, past, 0, heads, activations());
  return {spec_, layers_, dtype_, heads, rows, rotary_, std::move(plan), std::move(full), adapter, cache};
}

at::Tensor LlamaModel::forward(const Microbatch& batch, SiteAdapter* adapter, KeyValueCache* cache) {
  const c10::InferenceMode no_autograd;
  GAGGLE_CHECK(cache || batch.past.empty(), "cached tokens without a cache");
  if (cache) cache->reserve(spec_.layers, batch.decoder.count(), spec_.kv_heads * spec_.head_dim, activations());
  const LlamaPass pass = begin(batch, adapter, cache);
  const at::Tensor residual = llama_layers(pass, embed(batch.decoder), nullptr);
  if (cache) cache->length += batch.decoder.count();
  return rms_norm(residual, norm_, spec_.norm_eps, dtype_);
}

at::Tensor LlamaModel::forward_backward(const Microbatch& batch, SiteAdapter& adapter, const LossOptions& loss,
                                        const BaseDropout& dropout) {
  const c10::InferenceMode no_autograd;
  GAGGLE_CHECK(batch.past.empty(), "training has no cached tokens");
  GAGGLE_CHECK(dropout.p == 0, "{} has no dropout of its own", spec_.model_type);
  LlamaPass pass = begin(batch, &adapter, nullptr);
  pass.recompute = recompute_;
  std::vector<LayerTape> tape(layers_.size());
  const at::Tensor last = llama_layers(pass, embed(batch.decoder), &tape);
  at::Tensor d;
  const at::Tensor nll = loss_backward(last, batch, loss, {}, d);
  llama_layers_backward(pass, d, tape);
  return nll;
}

}  // namespace gaggle
