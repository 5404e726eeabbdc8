// How a config.json of a Llama-shaped decoder scales rotary positions, as transformers reads it.
#include <cmath>

#include "base/error.h"
#include "base/log.h"
#include "formats/config_keys.h"
#include "formats/model_files.h"

namespace gaggle {
namespace {

RopeScaling read_yarn(const ConfigKeys& rope, const ModelSpec& spec) {
  RopeScaling yarn{.type = "yarn", .factor = rope.number("factor")};
  yarn.original_max_position = rope.count_or("original_max_position_embeddings", spec.max_positions);
  yarn.beta_fast = rope.number_or("beta_fast", 32);
  yarn.beta_slow = rope.number_or("beta_slow", 1);
  yarn.truncate = rope.flag_or("truncate", true);
  yarn.attention_factor = yarn_attention_factor(yarn.factor);
  if (rope.has("mscale") && rope.has("mscale_all_dim"))
    yarn.attention_factor = yarn_attention_factor(yarn.factor, rope.number("mscale")) /
                            yarn_attention_factor(yarn.factor, rope.number("mscale_all_dim"));
  yarn.attention_factor = rope.number_or("attention_factor", yarn.attention_factor);
  return yarn;
}

RopeScaling read_llama3(const ConfigKeys& rope) {
  RopeScaling llama3{.type = "llama3", .factor = rope.number("factor")};
  llama3.low_freq_factor = rope.number("low_freq_factor");
  llama3.high_freq_factor = rope.number("high_freq_factor");
  llama3.original_max_position = rope.count("original_max_position_embeddings");
  if (llama3.high_freq_factor <= llama3.low_freq_factor)
    user_error("{}: high_freq_factor must be above low_freq_factor", rope.file());
  return llama3;
}

// transformers does not read the section's original length for these types; nobody shall think that gaggle does.
void warn_of_original_length(const ConfigKeys& rope, const RopeScaling& scaling) {
  const char* key = "original_max_position_embeddings";
  if (rope.has(key) && rope.count(key) != scaling.original_max_position)
    log::warning("{}: {} {} is passed over, as transformers does for {}; texts beyond {} tokens are scaled",
                 rope.file(), key, rope.count(key), scaling.type, scaling.original_max_position);
}

RopeScaling read_dynamic(const ConfigKeys& rope, const ModelSpec& spec) {
  if (spec.head_dim == 2) user_error("{}: dynamic scaling of heads of 2 values is not defined", rope.file());
  RopeScaling dynamic{.type = "dynamic", .factor = rope.number("factor")};
  dynamic.original_max_position = spec.max_positions;
  warn_of_original_length(rope, dynamic);
  return dynamic;
}

// In fp32, as transformers computes with them and a GGUF file holds them.
std::vector<float> read_factors(const ConfigKeys& rope, const char* key, int64_t pairs) {
  std::vector<float> factors;
  if (rope.has(key) && rope.at(key).is_array())
    for (const nlohmann::json& factor : rope.at(key))
      if (factor.is_number() && factor.get<float>() > 0 && std::isfinite(factor.get<float>()))
        factors.push_back(factor.get<float>());
  if (!rope.has(key) || rope.at(key).size() != factors.size() || static_cast<int64_t>(factors.size()) != pairs)
    user_error("{}: {} must be a list of {} numbers above 0, one for each pair of a head's values", rope.file(), key,
               pairs);
  return factors;
}

// transformers 4 knows the original length as a key of the config alone, and then takes the stretch from it; 5, which
// alone reads "rope_parameters", also as one of the section.
RopeScaling read_longrope(const ConfigKeys& config, const ConfigKeys& rope, const ModelSpec& spec) {
  const char* original = "original_max_position_embeddings";
  const bool newer = config.has("rope_parameters");
  RopeScaling longrope{.type = "longrope"};
  longrope.original_max_position =
      config.count_or(original, newer ? rope.count_or(original, spec.max_positions) : spec.max_positions);
  warn_of_original_length(rope, longrope);
  longrope.short_factors = read_factors(rope, "short_factor", spec.head_dim / 2);
  longrope.long_factors = read_factors(rope, "long_factor", spec.head_dim / 2);
  if (rope.has("attention_factor")) {
    longrope.attention_factor = static_cast<float>(rope.number("attention_factor"));
    return longrope;
  }
  double factor = static_cast<double>(spec.max_positions) / static_cast<double>(longrope.original_max_position);
  if (newer)
    factor = rope.number_or("factor", factor);
  else if (!config.has(original))
    factor = rope.number("factor");
  if (longrope.original_max_position < 2) user_error("{}: {} must be at least 2", config.file(), original);
  longrope.attention_factor = longrope_attention_factor(factor, longrope.original_max_position);
  return longrope;
}

}  // namespace

// "rope_scaling" up to transformers 4, "rope_parameters" (with rope_theta inside) since 5.
void read_rope_config(const ConfigKeys& config, ModelSpec& spec) {
  spec.rope_theta = config.number_or("rope_theta", 10000);
  const char* section = config.has("rope_parameters") ? "rope_parameters" : "rope_scaling";
  if (!config.has(section)) return;
  if (!config.at(section).is_object()) user_error("{}: {} is not a table", config.file(), section);
  const ConfigKeys rope(config.at(section), config.file() + ": " + section);
  spec.rope_theta = rope.number_or("rope_theta", spec.rope_theta);
  if (rope.number_or("partial_rotary_factor", 1) != 1)
    user_error("{}: partial_rotary_factor is not supported", rope.file());
  const std::string type = rope.text_or("rope_type", rope.text_or("type", "default"));
  if (type == "linear")
    spec.rope_scaling = {.type = "linear", .factor = rope.number("factor")};
  else if (type == "llama3")
    spec.rope_scaling = read_llama3(rope);
  else if (type == "yarn")
    spec.rope_scaling = read_yarn(rope, spec);
  else if (type == "dynamic")
    spec.rope_scaling = read_dynamic(rope, spec);
  else if (type == "longrope")
    spec.rope_scaling = read_longrope(config, rope, spec);
  else if (type != "default")
    user_error("{}: the scaling type {} is not supported; linear, llama3, yarn, dynamic and longrope are", rope.file(),
               type);
}

}  // namespace gaggle
