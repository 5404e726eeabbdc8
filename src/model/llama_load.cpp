#include <ATen/Parallel.h>

#include <algorithm>
#include <map>

#include "base/error.h"
#include "base/names.h"
#include "base/sha256.h"
#include "formats/checkpoint_digest.h"
#include "model/llama.h"
#include "model/memory.h"

namespace gaggle {
namespace {

struct LinearName {
  const char* module;
  const char* kind;
};
constexpr std::array<LinearName, linears_per_layer> linear_names = {{{"self_attn", "q_proj"},
                                                                     {"self_attn", "k_proj"},
                                                                     {"self_attn", "v_proj"},
                                                                     {"self_attn", "o_proj"},
                                                                     {"mlp", "gate_proj"},
                                                                     {"mlp", "up_proj"},
                                                                     {"mlp", "down_proj"}}};

std::string layer_name(int64_t layer) {
  return fmt::format("model.layers.{}.", layer);
}

bool has_bias(const ModelSpec& spec, size_t index) {
  if (index <= v_proj) return spec.qkv_bias;
  return index == o_proj ? spec.o_bias : spec.mlp_bias;
}

// Tensors some exporters write that hold no weight: rotary tables.
bool carries_nothing(const std::string& name) {
  return name.ends_with("rotary_emb.inv_freq");
}

void check_names(const ModelCheckpoint& checkpoint, const std::vector<WeightInfo>& expected) {
  std::map<std::string, std::vector<int64_t>> there;
  for (const WeightInfo& weight : checkpoint.weights()) there.emplace(weight.name, weight.shape);
  std::vector<std::string> missing, surplus;
  for (const WeightInfo& weight : expected) {
    const auto found = there.find(weight.name);
    if (found == there.end()) {
      missing.push_back(weight.name);
      continue;
    }
    if (found->second != weight.shape)
      user_error("{}: tensor {} has the shape [{}], the config wants [{}]", checkpoint.path().string(),
                 weight.name, fmt::join(found->second, ", "), fmt::join(weight.shape, ", "));
    there.erase(found);
  }
  for (const auto& [name, shape] : there)
    if (!carries_nothing(name) && !(name == "lm_head.weight" && checkpoint.spec().tied_head))
      surplus.push_back(name);
  const auto list = [](std::vector<std::string> names) {
    const size_t all = names.size();
    if (all > 8) names.resize(8);
    return join(names, ", ") + (all > 8 ? fmt::format(" and {} more", all - 8) : "");
  };
  if (!missing.empty())
    user_error("{}: the model lacks {} tensors that its config asks for: {}", checkpoint.path().string(),
               missing.size(), list(missing));
  if (!surplus.empty())
    user_error(
        "{}: {} tensors have no place in a {} model: {}. The config and the weights do not belong together",
        checkpoint.path().string(), surplus.size(), checkpoint.spec().model_type, list(surplus));
}

struct Loaded {
  std::map<std::string, at::Tensor> tensors;
  std::string digest;
};

// Every tensor read once, digested as fp32, converted once. Tensors are independent: threads share them.
Loaded read_all(const ModelCheckpoint& checkpoint, const std::vector<WeightInfo>& weights, at::ScalarType dtype,
                at::Device device) {
  std::vector<at::Tensor> tensors(weights.size());
  std::vector<std::string> digests(weights.size());
  at::parallel_for(0, static_cast<int64_t>(weights.size()), 1, [&](int64_t begin, int64_t end) {
    const c10::InferenceMode no_autograd;
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
      const WeightInfo& weight = weights[i];
      at::Tensor values = at::empty(weight.shape, at::kFloat);
      const std::span<float> span(values.data_ptr<float>(), static_cast<size_t>(values.numel()));
      checkpoint.read(weight.name, weight.shape, span);
      digests[i] = Sha256().update(std::as_bytes(span)).hex();
      const bool norm = weight.shape.size() == 1 && weight.name.ends_with("norm.weight");
      tensors[i] = values.to(device, norm ? residual_dtype(dtype) : dtype);
    }
  });
  Loaded loaded;
  Sha256 digest;
  for (size_t i = 0; i < weights.size(); ++i) {
    digest.update(fmt::format("{}[{}]{}\n", weights[i].name, fmt::join(weights[i].shape, ","), digests[i]));
    loaded.tensors.emplace(weights[i].name, tensors[i]);
  }
  loaded.digest = digest.hex();
  return loaded;
}

// Takes the tensors out one by one: a packed linear's own tensor is freed before the next is packed.
LlamaWeights assemble(const ModelSpec& spec, std::map<std::string, at::Tensor> tensors, BaseUse use) {
  const auto take = [&](const std::string& name) {
    const auto found = tensors.extract(name);
    return found ? found.mapped() : at::Tensor();
  };
  LlamaWeights weights;
  for (int64_t l = 0; l < spec.layers; ++l) {
    const std::string prefix = layer_name(l);
    LlamaLayer layer;
    for (size_t i = 0; i < linears_per_layer; ++i) {
      const std::string path = fmt::format("{}{}.{}", prefix, linear_names[i].module, linear_names[i].kind);
      layer.linears[i] = FrozenLinear(take(path + ".weight"), take(path + ".bias"), use);
    }
    layer.input_norm = take(prefix + "input_layernorm.weight");
    layer.mlp_norm = take(prefix + "post_attention_layernorm.weight");
    layer.q_norm = take(prefix + "self_attn.q_norm.weight");
    layer.k_norm = take(prefix + "self_attn.k_norm.weight");
    weights.layers.push_back(std::move(layer));
  }
  weights.embedding = take("model.embed_tokens.weight");
  weights.norm = take("model.norm.weight");
  weights.head = FrozenLinear(spec.tied_head ? weights.embedding : take("lm_head.weight"), {}, use);
  return weights;
}

}  // namespace

std::vector<Site> llama_sites(const ModelSpec& spec) {
  const int64_t q = spec.heads * spec.head_dim, kv = spec.kv_heads * spec.head_dim;
  const int64_t d = spec.hidden, n = spec.intermediate;
  const std::array<std::pair<int64_t, int64_t>, linears_per_layer> shapes = {
      {{d, q}, {d, kv}, {d, kv}, {q, d}, {d, n}, {d, n}, {n, d}}};
  std::vector<Site> sites;
  for (int64_t l = 0; l < spec.layers; ++l)
    for (size_t i = 0; i < linears_per_layer; ++i)
      sites.push_back({static_cast<int>(sites.size()),
                       fmt::format("{}{}.{}", layer_name(l), linear_names[i].module, linear_names[i].kind),
                       linear_names[i].kind, static_cast<int>(l), shapes[i].first, shapes[i].second});
  return sites;
}

std::vector<WeightInfo> llama_weights(const ModelSpec& spec) {
  std::vector<WeightInfo> weights;
  const auto sites = llama_sites(spec);
  for (const Site& site : sites) {
    weights.push_back({site.name + ".weight", {site.d_out, site.d_in}});
    if (has_bias(spec, static_cast<size_t>(site.index) % linears_per_layer))
      weights.push_back({site.name + ".bias", {site.d_out}});
  }
  for (int64_t l = 0; l < spec.layers; ++l) {
    weights.push_back({layer_name(l) + "input_layernorm.weight", {spec.hidden}});
    weights.push_back({layer_name(l) + "post_attention_layernorm.weight", {spec.hidden}});
    if (spec.qk_norm) {
      weights.push_back({layer_name(l) + "self_attn.q_norm.weight", {spec.head_dim}});
      weights.push_back({layer_name(l) + "self_attn.k_norm.weight", {spec.head_dim}});
    }
  }
  weights.push_back({"model.embed_tokens.weight", {spec.vocab, spec.hidden}});
  weights.push_back({"model.norm.weight", {spec.hidden}});
  if (!spec.tied_head) weights.push_back({"lm_head.weight", {spec.vocab, spec.hidden}});
  std::sort(weights.begin(), weights.end(),
            [](const WeightInfo& a, const WeightInfo& b) { return a.name < b.name; });
  return weights;
}

LlamaModel::LlamaModel(const ModelCheckpoint& checkpoint, at::ScalarType dtype, at::Device device,
                       BaseUse use) {
  const c10::InferenceMode no_autograd;
  spec_ = checkpoint.spec();
  dtype_ = dtype;
  device_ = device;
  GAGGLE_CHECK(spec_.kv_heads > 0 && spec_.heads % spec_.kv_heads == 0 && spec_.head_dim % 2 == 0);
  const auto weights = llama_weights(spec_);
  check_names(checkpoint, weights);
  const MemoryNeed need = memory_need(weights, dtype, device, use);
  refuse_if_too_large(need, free_memory(device), dtype, device, spec_.name);
  weight_bytes_ = need.held();
  Loaded loaded = read_all(checkpoint, weights, dtype, device);
  weights_ = assemble(spec_, std::move(loaded.tensors), use);
  content_digest_ = std::move(loaded.digest);
  shape_digest_ = shapes_digest(weights);
  sites_ = llama_sites(spec_);
  for (const WeightInfo& weight : weights) {
    int64_t count = 1;
    for (int64_t n : weight.shape) count *= n;
    parameters_ += count;
  }
  for (const Site& site : sites_) linear_weights_ += site.d_in * site.d_out;
}

}  // namespace gaggle
