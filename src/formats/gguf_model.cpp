// A GGUF file as a base model: hyperparameters from its metadata, tensors under Hugging Face names and layouts.
#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "base/error.h"
#include "base/log.h"
#include "base/names.h"
#include "formats/gguf.h"
#include "formats/model_files.h"

namespace gaggle {
namespace {

// "model.layers.3.mlp.up_proj.weight" → "blk.3.ffn_up.weight".
std::string gguf_name(const std::string& name) {
  static const std::map<std::string, std::string> outside{{"model.embed_tokens.weight", "token_embd.weight"},
                                                          {"model.norm.weight", "output_norm.weight"},
                                                          {"lm_head.weight", "output.weight"}};
  static const std::map<std::string, std::string> inside{
      {"input_layernorm", "attn_norm"},    {"post_attention_layernorm", "ffn_norm"},
      {"self_attn.q_proj", "attn_q"},      {"self_attn.k_proj", "attn_k"},
      {"self_attn.v_proj", "attn_v"},      {"self_attn.o_proj", "attn_output"},
      {"self_attn.q_norm", "attn_q_norm"}, {"self_attn.k_norm", "attn_k_norm"},
      {"mlp.gate_proj", "ffn_gate"},       {"mlp.up_proj", "ffn_up"},
      {"mlp.down_proj", "ffn_down"}};
  if (const auto found = outside.find(name); found != outside.end()) return found->second;
  const std::string prefix = "model.layers.";
  GAGGLE_CHECK(name.starts_with(prefix), "{}", name);
  const size_t number_end = name.find('.', prefix.size()), kind_begin = name.rfind('.');
  const std::string module = name.substr(number_end + 1, kind_begin - number_end - 1);
  return "blk." + name.substr(prefix.size(), number_end - prefix.size()) + "." + inside.at(module) +
         name.substr(kind_begin);
}

// llama.cpp multiplies sine and cosine as transformers does by default; what else could be set there is refused.
RopeScaling read_yarn_scaling(const GgufFile& file, const std::string& prefix) {
  for (const auto& [key, neutral] : std::map<std::string, double>{
           {"attn_factor", 1}, {"yarn_attn_factor", 1}, {"yarn_ext_factor", 1}, {"yarn_log_multiplier", 0}})
    if (file.number_or(prefix + key, neutral) != neutral)
      user_error("{}: {}{} is {}; only {} is supported", file.name(), prefix, key, file.number(prefix + key), neutral);
  RopeScaling yarn{.type = "yarn", .factor = file.number(prefix + "factor")};
  yarn.original_max_position = file.integer(prefix + "original_context_length");
  yarn.beta_fast = file.number_or(prefix + "yarn_beta_fast", yarn.beta_fast);
  yarn.beta_slow = file.number_or(prefix + "yarn_beta_slow", yarn.beta_slow);
  if (!(yarn.factor > 0) || yarn.original_max_position < 1 || !(yarn.beta_fast > 0) || !(yarn.beta_slow > 0))
    user_error("{}: {}… is out of range for yarn", file.name(), prefix);
  yarn.attention_factor = yarn_attention_factor(yarn.factor);
  return yarn;
}

std::vector<float> read_factors(const GgufFile& file, const std::string& name, int64_t head_dim) {
  const GgufTensor* tensor = file.find(name);
  if (!tensor) user_error("{}: tensor {} is missing", file.name(), name);
  if (tensor->count() != head_dim / 2)
    user_error("{}: {} has {} values; expected {}", file.name(), name, tensor->count(), head_dim / 2);
  std::vector<float> factors(static_cast<size_t>(tensor->count()));
  dequantize(tensor->type, tensor->bytes, factors);
  for (const float factor : factors)
    if (!(factor > 0) || !std::isfinite(factor))
      user_error("{}: {} holds {}; expected factors above 0", file.name(), name, factor);
  return factors;
}

constexpr const char* longrope_tensors[] = {"rope_factors_short.weight", "rope_factors_long.weight"};

// llama.cpp multiplies sine and cosine with attn_factor alone, and would divide positions by a factor besides.
RopeScaling read_longrope_scaling(const GgufFile& file, const std::string& prefix, const ModelSpec& spec) {
  if (file.number_or(prefix + "factor", 1) != 1)
    user_error("{}: {}factor is {}; only 1 is supported with longrope", file.name(), prefix,
               file.number(prefix + "factor"));
  RopeScaling longrope{.type = "longrope"};
  longrope.original_max_position = file.integer_or(prefix + "original_context_length", spec.max_positions);
  longrope.attention_factor = file.number_or(prefix + "attn_factor", 1);
  if (longrope.original_max_position < 1 || !(longrope.attention_factor > 0) ||
      !std::isfinite(longrope.attention_factor))
    user_error("{}: {}… is out of range for longrope", file.name(), prefix);
  longrope.short_factors = read_factors(file, longrope_tensors[0], spec.head_dim);
  longrope.long_factors = read_factors(file, longrope_tensors[1], spec.head_dim);
  return longrope;
}

RopeScaling read_rope_scaling(const GgufFile& file, const std::string& arch, const ModelSpec& spec) {
  const std::string type = file.text_or(arch + ".rope.scaling.type", "none");
  if (file.find("rope_freqs.weight")) {
    if (type != "none" && type != "llama3")
      user_error("{}: {} rope scaling and rope_freqs.weight at once are not supported", file.name(), type);
    const std::vector<float> factors = read_factors(file, "rope_freqs.weight", spec.head_dim);
    return rope_scaling_of_factors(factors, spec.rope_theta, file.name());
  }
  if (type == "none") return {};
  if (type == "yarn") return read_yarn_scaling(file, arch + ".rope.scaling.");
  if (type == "longrope") return read_longrope_scaling(file, arch + ".rope.scaling.", spec);
  if (type == "linear") return {"linear", file.number(arch + ".rope.scaling.factor"), 1, 4, 8192};
  user_error("{}: {}.rope.scaling.type {} is not supported; linear, yarn, longrope and llama3 (rope_freqs.weight) are",
             file.name(), arch, type);
}

ModelSpec read_spec(const GgufFile& file) {
  const std::string& arch = file.text("general.architecture");
  if (arch != "llama" && arch != "qwen2" && arch != "qwen3")
    user_error("{}: architecture {} is not supported; llama (with mistral), qwen2 and qwen3 are", file.name(), arch);
  if (file.integer_or("split.count", 1) > 1)
    user_error("{}: one part of {}; join them with llama-gguf-split --merge", file.name(), file.integer("split.count"));
  if (file.integer_or(arch + ".expert_count", 0) > 0)
    user_error("{}: a mixture of experts is not supported", file.name());
  const auto count = [&](const std::string& key) {
    const int64_t value = file.integer(arch + key);
    if (value < 1 || value > INT32_MAX) user_error("{}: {}{} is {}", file.name(), arch, key, value);
    return value;
  };
  ModelSpec spec;
  spec.model_type = arch;
  spec.hidden = count(".embedding_length");
  spec.intermediate = count(".feed_forward_length");
  spec.layers = count(".block_count");
  spec.heads = count(".attention.head_count");
  spec.kv_heads = file.has(arch + ".attention.head_count_kv") ? count(".attention.head_count_kv") : spec.heads;
  spec.head_dim = file.has(arch + ".attention.key_length") ? count(".attention.key_length") : spec.hidden / spec.heads;
  spec.max_positions = count(".context_length");
  spec.norm_eps = file.number(arch + ".attention.layer_norm_rms_epsilon");
  spec.rope_theta = file.number_or(arch + ".rope.freq_base", 10000);
  spec.sliding_window = file.integer_or(arch + ".attention.sliding_window", 0);
  if (spec.head_dim < 2 || spec.head_dim % 2 != 0 || spec.heads % spec.kv_heads != 0)
    user_error("{}: {} heads, {} of keys, of {} values each do not fit together", file.name(), spec.heads,
               spec.kv_heads, spec.head_dim);
  if (!(spec.rope_theta > 0) || !(spec.norm_eps > 0) || spec.sliding_window < 0)
    user_error("{}: rope.freq_base, layer_norm_rms_epsilon or sliding_window is out of range", file.name());
  for (const char* key : {".attention.value_length", ".rope.dimension_count"})
    if (file.integer_or(arch + key, spec.head_dim) != spec.head_dim)
      user_error("{}: {}{} is {}; only the head's {} is supported", file.name(), arch, key, file.integer(arch + key),
                 spec.head_dim);
  spec.rope_scaling = read_rope_scaling(file, arch, spec);
  const GgufTensor* embedding = file.find("token_embd.weight");
  if (!embedding) user_error("{}: tensor token_embd.weight is missing", file.name());
  spec.vocab = embedding->shape[0];
  spec.tied_head = file.find("output.weight") == nullptr;
  spec.qkv_bias = file.find("blk.0.attn_q.bias") != nullptr;
  spec.o_bias = file.find("blk.0.attn_output.bias") != nullptr;
  spec.mlp_bias = file.find("blk.0.ffn_down.bias") != nullptr;
  spec.qk_norm = file.find("blk.0.attn_q_norm.weight") != nullptr;
  return spec;
}

class GgufModel : public ModelCheckpoint {
 public:
  explicit GgufModel(const ModelPlace& place) : file_(place.path) {
    path_ = place.path;
    commit_ = place.commit;
    spec_ = read_spec(file_);
    spec_.name = place.name;
    if (spec_.layers > static_cast<int64_t>(file_.tensors().size()))
      user_error("{}: {} layers, but only {} tensors", file_.name(), spec_.layers, file_.tensors().size());
    weights_ = expected_weights(spec_);
    std::set<std::string> used{"rope_freqs.weight"};
    if (spec_.rope_scaling.type == "longrope") used.insert(std::begin(longrope_tensors), std::end(longrope_tensors));
    for (const WeightInfo& weight : weights_) used.insert(find(weight.name, weight.shape).name);
    std::vector<std::string> unused;
    for (const GgufTensor& tensor : file_.tensors())
      if (!used.contains(tensor.name)) unused.push_back(tensor.name);
    if (!unused.empty())
      log::warning("{}: {} tensors belong to no part of {} and are left out, {} first", file_.name(), unused.size(),
                   spec_.model_type, unused[0]);
  }

  void read(const std::string& name, std::span<const int64_t> shape, std::span<float> values) const override {
    const GgufTensor& tensor = find(name, shape);
    GAGGLE_CHECK(static_cast<int64_t>(values.size()) == tensor.count(), "{}: {} values", name, values.size());
    if (!is_permuted(name)) return dequantize(tensor.type, tensor.bytes, values);
    std::vector<float> permuted(values.size());
    dequantize(tensor.type, tensor.bytes, permuted);
    const auto rows = static_cast<size_t>(shape[0]);
    unpermute(std::span<const float>(permuted), rows, values);
  }

  void let_go() const override { file_.let_go(); }

  std::optional<RowForm> form(const WeightInfo& weight) const override {
    const GgufType type = find(weight.name, weight.shape).type;
    if (weight.shape.size() != 2 || gguf_block(type).values == 1) return std::nullopt;
    return RowForm{RowKind::gguf, type};
  }

  StoredRows stored(const WeightInfo& weight) const override {
    const GgufTensor& tensor = find(weight.name, weight.shape);
    StoredRows stored{*form(weight), weight.shape[0], weight.shape[1], {tensor.bytes.begin(), tensor.bytes.end()}, {}};
    if (is_permuted(weight.name))
      unpermute(tensor.bytes, static_cast<size_t>(stored.rows), std::span<std::byte>(stored.codes));
    return stored;
  }

 private:
  bool is_permuted(const std::string& name) const {
    return spec_.model_type == "llama" &&
           (name.find(".q_proj.") != std::string::npos || name.find(".k_proj.") != std::string::npos);
  }

  // llama.cpp turns neighbouring pairs of rows, Hugging Face the two halves of a head: its converter writes
  // row p·half + j of a head as row 2j + p (p = 0, 1), for weights and biases alike.
  template <class T>
  void unpermute(std::span<const T> permuted, size_t rows, std::span<T> values) const {
    const auto half = static_cast<size_t>(spec_.head_dim / 2), width = values.size() / rows;
    for (size_t row = 0; row < rows; ++row) {
      const size_t head = row / (2 * half), p = row / half % 2, j = row % half;
      std::ranges::copy(permuted.subspan((head * 2 * half + 2 * j + p) * width, width),
                        values.begin() + static_cast<std::ptrdiff_t>(row * width));
    }
  }

  const GgufTensor& find(const std::string& name, std::span<const int64_t> shape) const {
    const std::string stored = gguf_name(name);
    const GgufTensor* tensor = file_.find(stored);
    if (!tensor) user_error("{}: tensor {} ({}) is missing", file_.name(), stored, name);
    if (!std::ranges::equal(tensor->shape, shape))
      user_error("{}: tensor {} has shape {}; the metadata ask for {}", file_.name(), stored, shape_text(tensor->shape),
                 shape_text(shape));
    return *tensor;
  }

  GgufFile file_;
};

}  // namespace

std::unique_ptr<ModelCheckpoint> open_gguf_model(const ModelPlace& place) { return std::make_unique<GgufModel>(place); }

}  // namespace gaggle
