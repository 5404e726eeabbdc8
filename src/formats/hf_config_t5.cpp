// config.json of T5 (all versions), with the defaults of transformers' T5Config for keys that are left out.
#include <cmath>
#include <map>

#include "base/error.h"
#include "formats/config_keys.h"

namespace gaggle {
namespace {

// feed_forward_proj. "gated-gelu" has always meant the tanh form; transformers spells it gelu_new inside.
void read_feed_forward(const ConfigKeys& config, ModelSpec& spec) {
  const std::string form = config.text_or("feed_forward_proj", "relu");
  static const std::map<std::string, std::pair<Activation, std::string>> forms{
      {"relu", {Activation::relu, "relu"}},
      {"gated-gelu", {Activation::gelu_tanh, "gelu_new"}},
      {"gated-silu", {Activation::silu, "silu"}}};
  if (!forms.contains(form))
    user_error("{}: feed_forward_proj {} is not supported; relu, gated-gelu and gated-silu are", config.file(), form);
  const auto& [activation, name] = forms.at(form);
  spec.activation = activation;
  spec.gated = form != "relu";
  // What transformers derives is saved too, and where it is there it decides.
  if (config.text_or("dense_act_fn", name) != name || config.flag_or("is_gated_act", spec.gated) != spec.gated)
    user_error("{}: feed_forward_proj is {}, but dense_act_fn or is_gated_act says otherwise", config.file(), form);
}

}  // namespace

void read_t5_config(const ConfigKeys& config, ModelSpec& spec) {
  spec.hidden = config.count_or("d_model", 512);
  spec.head_dim = config.count_or("d_kv", 64);
  spec.intermediate = config.count_or("d_ff", 2048);
  spec.encoder_layers = config.count_or("num_layers", 6);
  spec.layers = config.count_or("num_decoder_layers", spec.encoder_layers);
  spec.heads = spec.kv_heads = config.count_or("num_heads", 8);
  spec.vocab = config.count_or("vocab_size", 32128);
  spec.norm_eps = config.number_or("layer_norm_epsilon", 1e-6);
  read_feed_forward(config, spec);

  // Half of the decoder's buckets, a quarter of the encoder's, are for single distances; logarithms share out
  // the rest up to the greatest distance.
  spec.position_buckets = config.count_or("relative_attention_num_buckets", 32);
  spec.position_max_distance = config.count_or("relative_attention_max_distance", 128);
  if (spec.position_buckets < 4 || spec.position_max_distance <= spec.position_buckets / 2)
    user_error(
        "{}: relative_attention_num_buckets {} and relative_attention_max_distance {}: expected at least 4 "
        "buckets, and a distance above half of them",
        config.file(), spec.position_buckets, spec.position_max_distance);

  // v1.0 ties the head and scales what goes into it; v1.1 does neither. transformers 5 writes
  // tie_word_embeddings true for both, and which of them it is as scale_decoder_outputs.
  spec.tied_head = config.flag_or("scale_decoder_outputs", config.flag_or("tie_word_embeddings", true));
  if (spec.tied_head) spec.head_scale = 1 / std::sqrt(static_cast<double>(spec.hidden));
  const int64_t padding = config.token_or("pad_token_id", spec.vocab, 0);
  spec.decoder_start = static_cast<int32_t>(config.token_or("decoder_start_token_id", spec.vocab, padding));
}

}  // namespace gaggle
