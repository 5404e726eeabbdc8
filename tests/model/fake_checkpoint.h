// Small models with random weights, without files.
#pragma once

#include <cmath>

#include "base/philox.h"
#include "formats/model_files.h"
#include "model/llama.h"
#include "model/t5.h"

namespace gaggle {

// Norms about 1.
inline void fill_random(const std::string& name, std::span<const int64_t> shape, std::span<float> values) {
  fill_normal(name_number(name), shape.size() == 1 ? 0.2 : 0.15, values);
  if (shape.size() == 1)
    for (float& value : values) value += 1;
}

// Positions that go by a text's length, from 8 tokens on.
inline RopeScaling scaled_by_length(const char* type) {
  RopeScaling scaling{.type = type, .factor = 4, .original_max_position = 8, .attention_factor = 1.2};
  if (scaling.type == "longrope") scaling.short_factors = {1, 1.1f, 1.2f, 1.3f}, scaling.long_factors = {1, 2, 4, 8};
  return scaling;
}

struct FakeCheckpoint final : ModelCheckpoint {
  explicit FakeCheckpoint(int64_t window = 0, bool qk_norm = false, bool tied = false, RopeScaling scaling = {}) {
    spec_.model_type = "llama";
    spec_.name = "fake";
    spec_.hidden = 48, spec_.intermediate = 80, spec_.layers = 2, spec_.vocab = 100;
    spec_.heads = 6, spec_.kv_heads = 2, spec_.head_dim = 8;
    spec_.sliding_window = window;
    spec_.qk_norm = qk_norm;
    spec_.tied_head = tied;
    spec_.qkv_bias = tied;
    spec_.rope_scaling = std::move(scaling);
    path_ = "fake";
    weights_ = expected_weights(spec_);
  }
  void read(const std::string& name, std::span<const int64_t> shape, std::span<float> values) const override {
    fill_random(name, shape, values);
  }
};

// v1.1 as `gated`, else v1.0. Heads are wider together than the model.
struct FakeT5 final : ModelCheckpoint {
  explicit FakeT5(bool is_gated = true) {
    spec_.model_type = "t5";
    spec_.name = "fake t5";
    spec_.hidden = 32, spec_.intermediate = 48, spec_.encoder_layers = 2, spec_.layers = 3, spec_.vocab = 90;
    spec_.heads = spec_.kv_heads = 4, spec_.head_dim = 12;
    spec_.position_buckets = 8, spec_.position_max_distance = 20;
    spec_.gated = is_gated;
    spec_.activation = is_gated ? Activation::gelu_tanh : Activation::relu;
    spec_.tied_head = !is_gated;
    spec_.head_scale = is_gated ? 1 : 1 / std::sqrt(32.0);
    spec_.decoder_start = 0;
    path_ = "fake t5";
    weights_ = expected_weights(spec_);
  }
  void read(const std::string& name, std::span<const int64_t> shape, std::span<float> values) const override {
    fill_random(name, shape, values);
    if (name.ends_with(".q.weight"))  // nothing divides scores by √head_dim: T5 starts with such small queries
      for (float& value : values) value *= 0.3f;
  }
};

}  // namespace gaggle
