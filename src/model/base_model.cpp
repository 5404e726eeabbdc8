#include "model/base_model.h"

#include "base/error.h"
#include "base/pulse.h"
#include "base/sha256.h"
#include "kernel/norm.h"
#include "kernel/upload.h"
#include "model/digested_settings.h"
#include "model/memory.h"

namespace gaggle {
namespace {

// values [R, d] as rows `index` of [rows, d], no row twice; the others are 0. A gather: what scatters is a sort on GPUs, whose
// sums would have no order.
at::Tensor as_rows(const at::Tensor& values, std::span<const int64_t> index, int64_t rows) {
  std::vector<int64_t> from(static_cast<size_t>(rows), values.size(0));
  for (size_t i = 0; i < index.size(); ++i) from[static_cast<size_t>(index[i])] = static_cast<int64_t>(i);
  const at::Tensor none = at::zeros({1, values.size(1)}, values.options());
  return at::cat({values, none}).index_select(0, to_device(from, values.device()));
}

}  // namespace

BaseModel::BaseModel(const ModelCheckpoint& checkpoint, std::vector<Site> sites, at::ScalarType dtype,
                     at::Device device, BaseUse use, Storage storage, ShardGroup ranks)
    : sites_(std::move(sites)), spec_(checkpoint.spec()), use_(use), storage_(storage), dtype_(dtype), device_(device) {
  const std::vector<WeightInfo> weights = checkpoint.weights();
  const MemoryNeed need = memory_need(checkpoint, dtype, device, use, storage, ranks.size);
  weight_bytes_ = need.held();
  bytes_at_rest_ = need.at_rest();
  ranks_ = ranks.size;
  if (ranks.size > 1 && use != BaseUse::planning) shards_ = std::make_shared<WeightShards>(std::move(ranks), device);
  shape_digest_ = shapes_digest(weights);
  for (const WeightInfo& weight : weights) parameters_ += count_of(weight.shape);
}

int64_t BaseModel::linear_weights(Side side) const {
  int64_t weights = 0;
  for (const Site& site : sites_)
    if (site.side == side) weights += site.d_in * site.d_out;
  return weights;
}

AdaptedLinear BaseModel::take_linear(WeightTensors& weights, const Site& site) const {
  const std::string name = site.name + ".weight";
  const at::Tensor bias = weights.take(site.name + ".bias");
  if (const auto found = weights.stored.extract(name)) return {FrozenLinear(std::move(found.mapped()), bias), site};
  return {FrozenLinear(weights.take_matrix(name), bias, use_), site};
}

void BaseModel::take_ends(WeightTensors& weights, const std::string& embedding, const std::string& norm) {
  embedding_ = weights.take_matrix(embedding);
  norm_ = weights.take(norm).mul(spec_.head_scale);  // it scales what the head reads
  head_ = FrozenLinear(spec_.tied_head ? embedding_ : weights.take_matrix("lm_head.weight"), {}, use_);
  std::string settings = digested_settings(spec_);
  if (weights.quantised) settings += storage_ == Storage::int8 ? " stored int8" : " stored nf4";
  content_digest_ = settings.empty() ? weights.digest : sha256_hex(weights.digest + settings);
}

void BaseModel::check_tokens(const TokenSequences& tokens) const {
  const auto t = static_cast<size_t>(tokens.count());
  GAGGLE_CHECK(t > 0 && tokens.positions.size() == t && !tokens.starts.empty() && tokens.starts.front() == 0);
  GAGGLE_CHECK(tokens.starts.back() == tokens.count());
  for (const int32_t id : tokens.ids) GAGGLE_CHECK(id >= 0 && id < spec_.vocab, "token id {} of {}", id, spec_.vocab);
  for (const int32_t position : tokens.positions) GAGGLE_CHECK(position >= 0);
}

at::Tensor BaseModel::embed(const TokenSequences& tokens) const {
  pulse();  // every forward pass begins here
  return embedding_.get().index_select(0, to_device(tokens.ids, device_)).to(residual_dtype(dtype_));
}

at::Tensor BaseModel::logits(const at::Tensor& hidden, std::span<const int64_t> rows) const {
  const c10::InferenceMode no_autograd;
  return head_.forward(hidden.index_select(0, to_device(rows, device_))).to(residual_dtype(dtype_));
}

at::Tensor BaseModel::nll(const at::Tensor& hidden, const Microbatch& batch) const {
  const c10::InferenceMode no_autograd;
  const ScoredTokens targets = join_targets(batch);
  return head_nll(head_, hidden.index_select(0, to_device(targets.tokens, device_)), targets, batch);
}

at::Tensor BaseModel::loss_backward(const at::Tensor& last, const Microbatch& batch, const LossOptions& loss,
                                    const DropTokens& drop, at::Tensor& d) const {
  const ScoredTokens targets = join_targets(batch);
  for (const int64_t row : targets.tokens) GAGGLE_CHECK(row >= 0 && row < batch.decoder.count());
  const at::Tensor index = to_device(targets.tokens, device_);
  const at::Tensor scored = last.index_select(0, index);
  at::Tensor hidden = rms_norm(scored, norm_, spec_.norm_eps, dtype_);
  if (drop) drop(hidden, targets.tokens);
  at::Tensor d_hidden = at::empty_like(hidden), d_scored = at::zeros_like(scored);
  const at::Tensor nll = head_backward(head_, hidden, targets, batch, loss, d_hidden);
  if (drop) drop(d_hidden, targets.tokens);
  rms_norm_backward(scored, d_hidden, norm_, spec_.norm_eps, d_scored);
  d = as_rows(d_scored, targets.tokens, last.size(0));
  return nll;
}

}  // namespace gaggle
