// Llama-shaped decoders (llama, mistral, qwen2, qwen3) as structs of tensors; the passes are free functions.
#pragma once

#include <array>

#include "kernel/attention.h"
#include "kernel/rotary.h"
#include "model/base_model.h"

namespace gaggle {

// A layer's linears, in Hugging Face's order of use.
enum LinearIndex : size_t { q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj, linears_per_layer };

struct LlamaLayer {
  std::array<AdaptedLinear, linears_per_layer> linears;
  at::Tensor input_norm, mlp_norm;  // [hidden] fp32 (fp64 for fp64)
  at::Tensor q_norm, k_norm;        // [head_dim], Qwen3 only
};

// What the backward pass needs of a layer; normed inputs and activation are computed again, to the same bits, and where
// the pass says so all but the input is.
struct LayerTape {
  at::Tensor input;         // residual stream before the layer, [T, hidden] fp32
  at::Tensor q, k, v;       // after rotation, [T, heads · head_dim]
  at::Tensor q_raw, k_raw;  // before q/k norm, Qwen3 only
  Attended attended;        // its y is the input of o_proj
  at::Tensor middle;        // residual stream after attention
  at::Tensor gate, up;      // [T, intermediate]
};

// Everything the layers of one pass share.
struct LlamaPass {
  const ModelSpec& spec;
  const std::vector<LlamaLayer>& layers;
  at::ScalarType dtype;  // of activations
  HeadShape heads;
  at::Tensor turns;  // [T] int32: each token's row of `rotary`
  RotaryTable rotary;
  AttentionPlan plan;       // of every layer, or of those with the window
  AttentionPlan full_plan;  // of the others, where only some layers have it
  SiteAdapter* adapter;     // may be null
  KeyValueCache* cache;     // may be null
  bool recompute = false;   // tapes hold each layer's input alone
  const AttentionPlan& plan_of(size_t layer) const {
    return spec.slides.empty() || spec.slides[layer] ? plan : full_plan;
  }
};

class LlamaModel final : public BaseModel {
 public:
  LlamaModel(const ModelCheckpoint& checkpoint, at::ScalarType dtype, at::Device device, BaseUse use,
             Storage storage = Storage::dtype, ShardGroup ranks = {});

  at::Tensor forward(const Microbatch& batch, SiteAdapter* adapter, KeyValueCache* cache) override;
  at::Tensor forward_backward(const Microbatch& batch, SiteAdapter& adapter, const LossOptions& loss = {},
                              const BaseDropout& dropout = {}) override;

 private:
  LlamaPass begin(const Microbatch& batch, SiteAdapter* adapter, KeyValueCache* cache);

  // Makes rotary_ fit these tokens; returns each one's row of it.
  at::Tensor turn(const TokenSequences& tokens);

  std::vector<LlamaLayer> layers_;
  // Grows with the positions seen; where a text's length counts, made for each pass: a row for each of its tokens.
  RotaryTable rotary_;
};

// [T, hidden] residual stream after the last layer. With `tape` (one per layer) what backward needs is kept.
at::Tensor llama_layers(const LlamaPass& pass, at::Tensor residual, std::vector<LayerTape>* tape);
// A layer's tape from its input.
LayerTape llama_layer_again(const LlamaPass& pass, size_t layer, const at::Tensor& input);
// d [T, hidden] (residual type): gradient after the last layer; consumed. The tape is released on the way.
void llama_layers_backward(const LlamaPass& pass, at::Tensor d, std::vector<LayerTape>& tape);

std::vector<Site> llama_sites(const ModelSpec& spec);

}  // namespace gaggle
