// Llama-shaped decoders (llama, mistral, qwen2, qwen3) as structs of tensors; the passes are free functions
// over rows.
#pragma once

#include <array>

#include "kernel/attention.h"
#include "kernel/rotary.h"
#include "model/base_model.h"
#include "model/frozen_linear.h"

namespace gaggle {

// A layer's linears, in Hugging Face's order of use.
enum LinearIndex : size_t { q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj, linears_per_layer };

struct LlamaLayer {
  std::array<FrozenLinear, linears_per_layer> linears;
  at::Tensor input_norm, mlp_norm;  // [hidden] fp32 (fp64 for fp64)
  at::Tensor q_norm, k_norm;        // [head_dim], Qwen3 only
};

struct LlamaWeights {
  at::Tensor embedding;  // [vocab, hidden]; with a tied head the head's own weight
  std::vector<LlamaLayer> layers;
  at::Tensor norm;    // [hidden]
  FrozenLinear head;  // [vocab, hidden]
};

// What the backward pass needs of a layer. The rest (normed inputs, activation) is computed again, to the same
// bits.
struct LayerTape {
  at::Tensor input;         // residual stream before the layer, [T, hidden] fp32
  at::Tensor q, k, v;       // after rotation, [T, heads · head_dim]
  at::Tensor q_raw, k_raw;  // before q/k norm, Qwen3 only
  at::Tensor context;       // attention's result, input of o_proj
  at::Tensor middle;        // residual stream after attention
  at::Tensor gate, up;      // [T, intermediate]
};

struct LlamaPass;

class LlamaModel final : public BaseModel {
 public:
  // dtype bf16 or fp32 (fp64: for gradient checks). forward_backward wants a base loaded for training.
  LlamaModel(const ModelCheckpoint& checkpoint, at::ScalarType dtype, at::Device device, BaseUse use);

  at::Tensor forward(const Rows& rows, SiteAdapter* adapter, KeyValueCache* cache) override;
  at::Tensor logits(const at::Tensor& hidden, std::span<const int64_t> rows) override;
  at::Tensor forward_backward(const Rows& rows, SiteAdapter& adapter, const LossOptions& loss = {}) override;
  at::Tensor nll(const at::Tensor& hidden, const Rows& rows) override;

 private:
  const RotaryTable& rotary(const Rows& rows);
  LlamaPass begin(const Rows& rows, SiteAdapter* adapter, KeyValueCache* cache);
  at::Tensor embed(const Rows& rows) const;  // [T, hidden] in the residual stream's type

  LlamaWeights weights_;
  RotaryTable rotary_;  // grows with the positions seen
};

// Everything the layers of one pass share.
struct LlamaPass {
  const ModelSpec& spec;
  const std::vector<Site>& sites;
  const LlamaWeights& weights;
  at::ScalarType dtype;  // of activations
  at::Tensor positions;  // [T] int32
  RotaryTable rotary;
  AttentionPlan plan;
  SiteAdapter* adapter;  // may be null
  KeyValueCache* cache;  // may be null
  HeadShape heads() const { return {spec.heads, spec.kv_heads, spec.head_dim}; }
  const Site& site(size_t layer, LinearIndex index) const { return sites[layer * linears_per_layer + index]; }
};

// The residual stream is held in fp32 also for bf16 activations: it costs 2 bytes a value and spares a rounding
// per layer (and per gradient), which is what separates bf16 runs from fp32 ones most.
at::ScalarType residual_dtype(at::ScalarType activations);

// All layers: [T, hidden] residual stream after the last. With `tape` (one per layer) what backward needs is
// kept.
at::Tensor llama_layers(LlamaPass& pass, at::Tensor residual, std::vector<LayerTape>* tape);
// d [T, hidden] (residual type): gradient after the last layer; consumed. The tape is released on the way.
void llama_layers_backward(const LlamaPass& pass, at::Tensor d, std::vector<LayerTape>& tape);

std::vector<Site> llama_sites(const ModelSpec& spec);
// Names and shapes of all tensors a checkpoint of this spec must have, sorted by name; a tied head is not among
// them.
std::vector<WeightInfo> llama_weights(const ModelSpec& spec);

}  // namespace gaggle
