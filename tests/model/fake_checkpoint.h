// A small model with random weights, without files.
#pragma once

#include "base/philox.h"
#include "model/llama.h"

namespace gaggle {

struct FakeCheckpoint final : ModelCheckpoint {
  explicit FakeCheckpoint(int64_t window = 0, bool qk_norm = false, bool tied = false) {
    spec_.model_type = "llama";
    spec_.name = "fake";
    spec_.hidden = 48, spec_.intermediate = 80, spec_.layers = 2, spec_.vocab = 100;
    spec_.heads = 6, spec_.kv_heads = 2, spec_.head_dim = 8;
    spec_.sliding_window = window;
    spec_.qk_norm = qk_norm;
    spec_.tied_head = tied;
    spec_.qkv_bias = tied;
    path_ = "fake";
  }
  std::vector<WeightInfo> weights() const override {
    auto all = llama_weights(spec_);
    if (!dropped.empty()) std::erase_if(all, [&](const WeightInfo& w) { return w.name == dropped; });
    if (!added.empty()) all.push_back({added, {3}});
    return all;
  }
  void read(const std::string& name, std::span<const int64_t> shape, std::span<float> values) const override {
    fill_normal(name_number(name), shape.size() == 1 ? 0.2 : 0.15, values);
    if (shape.size() == 1)
      for (float& value : values) value += 1;
  }
  std::string dropped, added;
};

}  // namespace gaggle
