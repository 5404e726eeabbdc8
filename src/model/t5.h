// T5 (Raffel et al., arXiv 1910.10683): v1.0, and v1.1 with LM-adapt and flan. Encoder and decoder as structs
// of tensors; the passes over the tokens of each are free functions.
#pragma once

#include "kernel/attention.h"
#include "model/base_model.h"
#include "model/token_dropout.h"

namespace gaggle {

struct T5Attention {
  AdaptedLinear q, k, v, o;
  at::Tensor norm;  // [hidden], before the block
};

struct T5FeedForward {
  std::vector<AdaptedLinear> wi;  // the activation's, and where it is gated what it is multiplied with
  AdaptedLinear wo;
  at::Tensor norm;
};

struct T5Layer {
  T5Attention self, cross;  // cross: of the decoder
  T5FeedForward feed_forward;
};

struct T5Stack {
  std::vector<T5Layer> layers;
  at::Tensor norm;           // after the last layer (the decoder's: BaseModel's)
  at::Tensor position_bias;  // [buckets, heads]
  PositionBias bias;         // by distance, as far as sequences have reached
};

// What the backward pass needs; normed inputs and activations are computed again.
struct T5AttentionTape {
  at::Tensor input;    // residual stream before the block
  at::Tensor q, k, v;  // k, v of self-attention
  Attended attended;   // its y is the input of o
};
struct T5FeedForwardTape {
  at::Tensor input, gate, up;  // up: where it is gated
};
struct T5Tape {
  T5AttentionTape self, cross;
  T5FeedForwardTape feed_forward;
};

// What the layers of one stack share in one pass.
struct T5Pass {
  const ModelSpec& spec;
  at::ScalarType dtype;  // of activations
  HeadShape heads;
  const T5Stack& stack;
  AttentionPlan plan;
  SiteAdapter* adapter;  // may be null
  TokenDropout dropout;
  // Of the decoder:
  KeyValueCache* cache = nullptr;  // may be null
  AttentionPlan cross_plan = {};
  at::Tensor encoded = {};                                       // [E, hidden], what cross-attention reads
  std::vector<at::Tensor> source_keys = {}, source_values = {};  // by layer [E, heads · head_dim]
  bool recompute = false;                                        // tapes hold each layer's input alone
};

class T5Model final : public BaseModel {
 public:
  T5Model(const ModelCheckpoint& checkpoint, at::ScalarType dtype, at::Device device, BaseUse use,
          Storage storage = Storage::dtype, ShardGroup ranks = {});

  at::Tensor forward(const Microbatch& batch, SiteAdapter* adapter, KeyValueCache* cache) override;
  at::Tensor forward_backward(const Microbatch& batch, SiteAdapter& adapter, const LossOptions& loss = {},
                              const BaseDropout& dropout = {}) override;

 private:
  T5Pass begin_encoder(const Microbatch& batch, SiteAdapter* adapter, const BaseDropout& dropout);
  T5Pass begin_decoder(const Microbatch& batch, std::span<const int64_t> source_starts, SiteAdapter* adapter,
                       KeyValueCache* cache, const BaseDropout& dropout);
  // The encoder's last stream; encoded: after its norm.
  at::Tensor encode(const Microbatch& batch, const T5Pass& pass, std::vector<T5Tape>* tape, at::Tensor& encoded);
  void reach(T5Stack& stack, const TokenSequences& tokens, bool bidirectional);

  T5Stack encoder_, decoder_;
  HeadShape heads_;
};

std::vector<Site> t5_sites(const ModelSpec& spec);
// What the heads add by distance key - query (transformers' T5Attention.compute_bias): [heads, 2 · reach + 1]
// from the buckets' [buckets, heads].
PositionBias t5_position_bias(const at::Tensor& buckets, bool bidirectional, int64_t max_distance, int64_t reach);

// [T, hidden] residual stream after a stack's layers. With `tape` (one per layer) what backward needs is kept.
at::Tensor t5_layers(const T5Pass& pass, at::Tensor residual, std::vector<T5Tape>* tape);
// Every layer's cross-attention keys and values of pass.encoded, into pass.
void t5_read_sources(T5Pass& pass);
// A layer's tape from its input.
T5Tape t5_layer_again(const T5Pass& pass, size_t layer, const at::Tensor& input);
// d [T, hidden] (residual type): gradient after the last layer; consumed, as is the tape. d_encoded (the
// decoder's; residual type) += the gradient of pass.encoded.
void t5_layers_backward(const T5Pass& pass, at::Tensor d, std::vector<T5Tape>& tape, at::Tensor& d_encoded);

}  // namespace gaggle
