// The frozen base as all other rooms see it, whatever its architecture: sites, forward, forward and backward.
#pragma once

#include <ATen/ATen.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/microbatch.h"
#include "formats/checkpoint.h"
#include "model/cache.h"
#include "model/loss.h"
#include "model/site.h"
#include "model/weights.h"

namespace gaggle {

// Dropout of the base itself in training, as T5 was trained with; keyed by (seed, place, sample, position). A
// sample's global index belongs to one step.
struct BaseDropout {
  double p = 0;  // 0: none
  uint64_t seed = 0;
};

class BaseModel {
 public:
  virtual ~BaseModel() = default;
  const std::vector<Site>& sites() const { return sites_; }
  const ModelSpec& spec() const { return spec_; }
  at::ScalarType dtype() const { return dtype_; }  // of weights and activations
  at::Device device() const { return device_; }
  const std::string& shape_digest() const { return shape_digest_; }  // of names and shapes
  // Of the tensors' contents, of digested_settings, and of the storage where it has taken bits away.
  const std::string& content_digest() const { return content_digest_; }
  int64_t parameters() const { return parameters_; }
  int64_t linear_weights(Side side) const;  // of the sites that read a token of this side
  int64_t linear_weights() const { return linear_weights(Side::decoder) + linear_weights(Side::encoder); }
  int64_t weight_bytes() const { return weight_bytes_; }    // held in memory, in all layouts, in a pass
  int64_t bytes_at_rest() const { return bytes_at_rest_; }  // between passes
  // Whether training keeps of a layer its input alone and computes the layer again before its backward pass: the same
  // bits, a forward pass more, memory of one layer instead of all. Of (IA)³ what its sites give out stays kept.
  void recompute_layers(bool on) { recompute_ = on; }
  bool recomputes_layers() const { return recompute_; }
  int ranks() const { return ranks_; }  // that hold it together
  // Of a base that ranks share; null: this rank holds all of it. All ranks make the same passes.
  const WeightShards* shards() const { return shards_.get(); }

  // The last hidden state of the decoder's tokens after the final norm, [T, d]. adapter may be null (the base
  // alone). With a cache the tokens' keys and values are appended to it and Microbatch::past is honoured; what
  // an encoder makes of the encoder's tokens goes into it, and passes without such tokens read it there.
  virtual at::Tensor forward(const Microbatch& batch, SiteAdapter* adapter, KeyValueCache* cache) = 0;
  // Forward and backward: returns nll [N] fp32 of the targets (smoothed where the loss is); gradients of the
  // loss, Σ target_weights · nll unless `loss` says otherwise, go to the adapter.
  virtual at::Tensor forward_backward(const Microbatch& batch, SiteAdapter& adapter, const LossOptions& loss = {},
                                      const BaseDropout& dropout = {}) = 0;
  // [N, vocab] fp32 of these tokens' hidden states.
  at::Tensor logits(const at::Tensor& hidden, std::span<const int64_t> rows) const;
  // nll [N] fp32 of the targets from the hidden states [T, d], without building [N, vocab] fp32 at once.
  at::Tensor nll(const at::Tensor& hidden, const Microbatch& batch) const;

 protected:
  // dtype bf16 or fp32 (fp64: for gradient checks). Nothing is read.
  BaseModel(const ModelCheckpoint& checkpoint, std::vector<Site> sites, at::ScalarType dtype, at::Device device,
            BaseUse use, Storage storage, ShardGroup ranks = {});
  // The adapted linear of a site, its weight (and bias) taken out.
  AdaptedLinear take_linear(WeightTensors& weights, const Site& site) const;
  // Embedding, final norm and head, of these names.
  void take_ends(WeightTensors& weights, const std::string& embedding, const std::string& norm);

  at::Tensor embed(const TokenSequences& tokens) const;  // [T, hidden] in the residual stream's type
  // Dropout between the final norm and the head: of x [n, hidden], the states of these of the decoder's tokens.
  using DropTokens = std::function<void(at::Tensor& x, std::span<const int64_t> tokens)>;
  // nll as of forward_backward from the stream after the last layer; d: the gradient there.
  at::Tensor loss_backward(const at::Tensor& last, const Microbatch& batch, const LossOptions& loss,
                           const DropTokens& drop, at::Tensor& d) const;
  void check_tokens(const TokenSequences& tokens) const;
  at::TensorOptions activations() const { return at::TensorOptions().dtype(dtype_).device(device_); }

  std::vector<Site> sites_;
  ModelSpec spec_;
  BaseUse use_;
  Storage storage_;
  at::ScalarType dtype_;
  at::Device device_;
  std::string shape_digest_, content_digest_;
  int64_t parameters_ = 0, weight_bytes_ = 0, bytes_at_rest_ = 0;
  bool recompute_ = false;
  int ranks_ = 1;
  std::shared_ptr<WeightShards> shards_;  // null: this rank holds all
  FrozenTensor embedding_;                // [vocab, hidden]; with a tied head the head's own weight
  at::Tensor norm_;                       // [hidden]
  FrozenLinear head_;                     // [vocab, hidden]
};

// The base of a checkpoint of any known architecture. forward_backward wants BaseUse::training.
std::unique_ptr<BaseModel> load_base_model(const ModelCheckpoint& checkpoint, at::ScalarType dtype, at::Device device,
                                           BaseUse use, Storage storage = Storage::dtype, ShardGroup ranks = {});

}  // namespace gaggle
