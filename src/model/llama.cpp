#include "model/llama.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "kernel/norm.h"
#include "model/rope.h"

namespace gaggle {
namespace {

struct LinearName {
  const char* module;
  const char* kind;
  bool rescaled, reads_activation;
};
constexpr std::array<LinearName, linears_per_layer> linear_names = {{{"self_attn", "q_proj", false, false},
                                                                     {"self_attn", "k_proj", true, false},
                                                                     {"self_attn", "v_proj", true, false},
                                                                     {"self_attn", "o_proj", false, false},
                                                                     {"mlp", "gate_proj", false, false},
                                                                     {"mlp", "up_proj", false, false},
                                                                     {"mlp", "down_proj", true, true}}};

}  // namespace

std::vector<Site> llama_sites(const ModelSpec& spec) {
  const int64_t q = spec.heads * spec.head_dim, kv = spec.kv_heads * spec.head_dim;
  const int64_t d = spec.hidden, n = spec.intermediate;
  const std::array<std::pair<int64_t, int64_t>, linears_per_layer> shapes = {
      {{d, q}, {d, kv}, {d, kv}, {q, d}, {d, n}, {d, n}, {n, d}}};
  std::vector<Site> sites;
  for (int64_t l = 0; l < spec.layers; ++l)
    for (size_t i = 0; i < linears_per_layer; ++i) {
      const LinearName& name = linear_names[i];
      sites.push_back({static_cast<int>(sites.size()),
                       fmt::format("model.layers.{}.{}.{}", l, name.module, name.kind), name.kind,
                       static_cast<int>(l), shapes[i].first, shapes[i].second, Side::decoder,
                       name.reads_activation, name.rescaled});
    }
  return sites;
}

LlamaModel::LlamaModel(const ModelCheckpoint& checkpoint, at::ScalarType dtype, at::Device device, BaseUse use)
    : BaseModel(checkpoint, llama_sites(checkpoint.spec()), dtype, device, use) {
  const c10::InferenceMode no_autograd;
  GAGGLE_CHECK(spec_.kv_heads > 0 && spec_.heads % spec_.kv_heads == 0 && spec_.head_dim % 2 == 0);
  if (use == BaseUse::planning) return;
  WeightTensors weights = read_weights(checkpoint, dtype, device);
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

const RotaryTable& LlamaModel::rotary(const Microbatch& batch) {
  const int64_t need = *std::max_element(batch.decoder.positions.begin(), batch.decoder.positions.end()) + 1;
  if (!rotary_.cos.defined() || rotary_.cos.size(0) < need)
    rotary_ = rotary_table(rope_frequencies(spec_), std::max<int64_t>(2 * need, 512), dtype_, device_);
  return rotary_;
}

LlamaPass LlamaModel::begin(const Microbatch& batch, SiteAdapter* adapter, KeyValueCache* cache) {
  check_tokens(batch.decoder);
  GAGGLE_CHECK(batch.encoder.count() == 0 && batch.sources.empty(), "{} has no encoder", spec_.name);
  if (adapter) adapter->begin(batch);
  const HeadShape heads{spec_.heads, spec_.kv_heads, spec_.head_dim,
                        1 / std::sqrt(static_cast<double>(spec_.head_dim))};
  return {spec_,
          layers_,
          dtype_,
          heads,
          ids_on(batch.decoder.positions, device_),
          rotary(batch),
          plan_attention(batch, cache ? cache->length : 0, spec_.sliding_window, heads, device_),
          adapter,
          cache};
}

at::Tensor LlamaModel::forward(const Microbatch& batch, SiteAdapter* adapter, KeyValueCache* cache) {
  const c10::InferenceMode no_autograd;
  GAGGLE_CHECK(cache || batch.past.empty(), "cached tokens without a cache");
  if (cache)
    cache->reserve(spec_.layers, batch.decoder.count(), spec_.kv_heads * spec_.head_dim, activations());
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
  const LlamaPass pass = begin(batch, &adapter, nullptr);
  std::vector<LayerTape> tape(layers_.size());
  const at::Tensor last = llama_layers(pass, embed(batch.decoder), &tape);
  at::Tensor d;
  const at::Tensor nll = loss_backward(last, batch, loss, {}, d);
  llama_layers_backward(pass, d, tape);
  return nll;
}

}  // namespace gaggle
