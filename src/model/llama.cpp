#include "model/llama.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/error.h"
#include "kernel/norm.h"

namespace gaggle {
namespace {

double llama3(double frequency, const RopeScaling& scaling) {
  const double original = static_cast<double>(scaling.original_max_position);
  const double wavelength = 2 * std::numbers::pi / frequency;
  if (wavelength < original / scaling.high_freq_factor) return frequency;
  if (wavelength > original / scaling.low_freq_factor) return frequency / scaling.factor;
  const double smooth =
      (original / wavelength - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor);
  return (1 - smooth) * frequency / scaling.factor + smooth * frequency;
}

// YaRN (Peng et al. 2023), for each pair how much of its frequency is divided: none where it turns often over the
// original context, all where it hardly turns, and a ramp between.
std::vector<double> yarn_ramp(const ModelSpec& spec) {
  const RopeScaling& scaling = spec.rope_scaling;
  const auto dim = static_cast<double>(spec.head_dim);
  const auto pair_that_turns = [&](double turns) {
    const double context = static_cast<double>(scaling.original_max_position);
    return dim * std::log(context / (turns * 2 * std::numbers::pi)) / (2 * std::log(spec.rope_theta));
  };
  double low = pair_that_turns(scaling.beta_fast), high = pair_that_turns(scaling.beta_slow);
  if (scaling.truncate) low = std::floor(low), high = std::ceil(high);
  low = std::max(low, 0.0), high = std::min(high, dim - 1);
  if (low == high) high += 0.001;
  std::vector<double> ramp;
  for (int64_t pair = 0; pair < spec.head_dim / 2; ++pair)
    ramp.push_back(std::clamp((static_cast<double>(pair) - low) / (high - low), 0.0, 1.0));
  return ramp;
}

// Radians per position for each of the head_dim/2 pairs: theta^(-2i/head_dim), scaled as rope_scaling says
// (linear: all divided; llama3: only the long wavelengths, smoothly, as in Llama 3.1's reference; yarn: by its ramp).
std::vector<double> rope_frequencies(const ModelSpec& spec) {
  const RopeScaling& scaling = spec.rope_scaling;
  std::vector<double> frequencies;
  const std::vector<double> ramp = scaling.type == "yarn" ? yarn_ramp(spec) : std::vector<double>();
  for (int64_t i = 0; i < spec.head_dim; i += 2) {
    double f = std::pow(spec.rope_theta, -static_cast<double>(i) / static_cast<double>(spec.head_dim));
    if (scaling.type == "linear")
      f /= scaling.factor;
    else if (scaling.type == "llama3")
      f = llama3(f, scaling);
    else if (!ramp.empty())
      f *= 1 - ramp[static_cast<size_t>(i / 2)] * (1 - 1 / scaling.factor);
    else if (!scaling.type.empty())
      user_error("{}: rope_scaling {} is not supported (none, linear, llama3 and yarn are)", spec.name, scaling.type);
    frequencies.push_back(f);
  }
  return frequencies;
}

}  // namespace

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

LlamaPass LlamaModel::begin(const Microbatch& batch, SiteAdapter* adapter, KeyValueCache* cache) {
  check_tokens(batch.decoder);
  GAGGLE_CHECK(batch.encoder.count() == 0 && batch.sources.empty(), "{} has no encoder", spec_.name);
  if (adapter) adapter->begin(batch);
  const int64_t reach = std::ranges::max(batch.decoder.positions) + 1;
  if (!rotary_.cos.defined() || rotary_.cos.size(0) < reach)
    rotary_ = rotary_table(rope_frequencies(spec_), std::max<int64_t>(2 * reach, 512), dtype_, device_,
                           spec_.rope_scaling.attention_factor);
  const HeadShape heads{spec_.heads, spec_.kv_heads, spec_.head_dim,
                        1 / std::sqrt(static_cast<double>(spec_.head_dim))};
  const at::Tensor positions = ids_on(batch.decoder.positions, device_);
  const int64_t past = cache ? cache->length : 0;
  AttentionPlan plan = plan_attention(batch, past, spec_.sliding_window, heads, activations());
  AttentionPlan full = spec_.slides.empty() ? AttentionPlan() : plan_attention(batch, past, 0, heads, activations());
  return {spec_, layers_, dtype_, heads, positions, rotary_, std::move(plan), std::move(full), adapter, cache};
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
  const LlamaPass pass = begin(batch, &adapter, nullptr);
  std::vector<LayerTape> tape(layers_.size());
  const at::Tensor last = llama_layers(pass, embed(batch.decoder), &tape);
  at::Tensor d;
  const at::Tensor nll = loss_backward(last, batch, loss, {}, d);
  llama_layers_backward(pass, d, tape);
  return nll;
}

}  // namespace gaggle
