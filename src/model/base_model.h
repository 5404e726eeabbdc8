// The frozen base as free of its architecture as the rest of the house needs it: sites, forward,
// forward+backward.
#pragma once

#include <ATen/ATen.h>

#include <memory>
#include <string>
#include <vector>

#include "base/rows.h"
#include "formats/checkpoint.h"
#include "model/frozen_linear.h"
#include "model/loss.h"

namespace gaggle {

// One adapted linear of the base.
struct Site {
  int index = 0;     // in BaseModel::sites()
  std::string name;  // "model.layers.0.self_attn.q_proj"
  std::string kind;  // "q_proj"
  int layer = 0;
  int64_t d_in = 0, d_out = 0;
};

// What sits on the sites. forward: y [T, d_out] += …; backward: dx [T, d_in] += …, and its own gradients.
// x, y, dy, dx have the base's activation dtype. All sites of one pass see the same rows in the same order.
// (IA)³ rescales instead, in place: forward y, whose gradient before that is rescaled_gradient's; or, at a site
// whose input no other site reads, rescaled_input takes x's place, and backward gets dx with respect to that.
class SiteAdapter {
 public:
  virtual ~SiteAdapter() = default;
  virtual void begin(const Rows& rows) = 0;
  virtual at::Tensor rescaled_input(const Site&, const at::Tensor& x) { return x; }
  virtual void forward(const Site& site, const at::Tensor& x, at::Tensor& y) = 0;
  virtual at::Tensor rescaled_gradient(const Site&, const at::Tensor& dy) { return dy; }
  virtual void backward(const Site& site, const at::Tensor& x, const at::Tensor& dy, at::Tensor& dx) = 0;
};

// Keys and values of rows already seen, one pool a layer; Rows::past names rows of the pool.
struct KeyValueCache {
  std::vector<at::Tensor> keys, values;  // per layer [capacity, kv_heads * head_dim]
  int64_t length = 0;                    // rows in use; a pass appends its T rows
};

class BaseModel {
 public:
  virtual ~BaseModel() = default;
  const std::vector<Site>& sites() const { return sites_; }
  const ModelSpec& spec() const { return spec_; }
  at::ScalarType dtype() const { return dtype_; }  // of weights and activations
  at::Device device() const { return device_; }
  const std::string& shape_digest() const { return shape_digest_; }      // of names and shapes
  const std::string& content_digest() const { return content_digest_; }  // of the tensors' contents
  int64_t parameters() const { return parameters_; }
  int64_t linear_weights() const { return linear_weights_; }  // for useful FLOP (speed.h)
  int64_t weight_bytes() const { return weight_bytes_; }      // held in memory, all layouts

  // The rows' last hidden state after the final norm, [T, d]. adapter may be null (the base alone). With a
  // cache the rows' keys and values are appended to it and Rows::past is honoured.
  virtual at::Tensor forward(const Rows& rows, SiteAdapter* adapter, KeyValueCache* cache) = 0;
  // [N, vocab] fp32 of the given rows of a hidden state.
  virtual at::Tensor logits(const at::Tensor& hidden, std::span<const int64_t> rows) = 0;
  // Forward and backward: returns nll [N] fp32 of the targets (smoothed where the loss is); gradients of the
  // loss, Σ target_weights · nll unless `loss` says otherwise, go to the adapter.
  virtual at::Tensor forward_backward(const Rows& rows, SiteAdapter& adapter, const LossOptions& loss = {}) = 0;
  // nll [N] fp32 of the rows' targets from a hidden state, without building [N, vocab] fp32 at once.
  virtual at::Tensor nll(const at::Tensor& hidden, const Rows& rows) = 0;

 protected:
  std::vector<Site> sites_;
  ModelSpec spec_;
  at::ScalarType dtype_ = at::kFloat;
  at::Device device_ = at::kCPU;
  std::string shape_digest_, content_digest_;
  int64_t parameters_ = 0, linear_weights_ = 0, weight_bytes_ = 0;
};

// dtype: auto | fp32 | bf16. forward_backward wants BaseUse::training. Refuses (UserError) what does not fit in
// memory, before reading, with the bytes by kind.
std::unique_ptr<BaseModel> load_base_model(const ModelCheckpoint& checkpoint, const std::string& dtype,
                                           at::Device device, BaseUse use);

// bf16 where the hardware multiplies it fast (GPU, AMX, AVX512-BF16), else fp32.
at::ScalarType resolve_dtype(const std::string& dtype, at::Device device);
std::string hardware_text(at::Device device, at::ScalarType dtype);  // "cpu bf16 (AMX)"

}  // namespace gaggle
