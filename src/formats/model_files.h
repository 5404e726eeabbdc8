// The containers behind open_model, and the weights that a ModelSpec asks for.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "formats/checkpoint.h"

namespace gaggle {

// config.json → ModelSpec. Throws UserError naming `file` and the key for what is missing or not supported.
ModelSpec parse_hf_config(const std::string& text, const std::string& file);

// The factors by which llama3 scaling divides each rotary frequency (GGUF's rope_freqs.weight), as a
// RopeScaling: the standard low/high factors and context where they fit, else fitted to the smooth band; throws
// UserError where the factors are no llama3 scaling.
RopeScaling rope_scaling_of_factors(std::span<const float> factors, double rope_theta, const std::string& file);

// What YaRN multiplies sine and cosine with when a context is stretched by `factor`: 0.1 · mscale · ln(factor) + 1.
double yarn_attention_factor(double factor, double mscale = 1);

// What LongRoPE multiplies them with, in fp32 as a GGUF file has it: √(1 + ln(factor) / ln(original length)).
float longrope_attention_factor(double factor, int64_t original_length);

// One factor per pair of dimensions, as transformers computes them.
std::vector<double> llama3_factors(const RopeScaling& scaling, double rope_theta, int64_t head_dim);

// Every tensor of the architecture under its Hugging Face name, sorted by name.
std::vector<WeightInfo> expected_weights(const ModelSpec& spec);

// Names under which a file may hold one of them once more, or in its place: safetensors keeps one name only of
// a tensor that has several. Other name → name in expected_weights.
std::map<std::string, std::string> second_names(const ModelSpec& spec);

// Where a model lies.
struct ModelPlace {
  std::filesystem::path path;
  std::string commit;     // of a hub snapshot, else ""
  std::string name = {};  // for people
};
std::unique_ptr<ModelCheckpoint> open_hf_folder(const ModelPlace& place);
std::unique_ptr<ModelCheckpoint> open_gguf_model(const ModelPlace& place);
// A hub name's snapshot in the local cache.
ModelPlace find_in_hub_cache(const std::string& name, const std::string& revision);

}  // namespace gaggle
