#include "model/llama.h"

#include <algorithm>

#include "base/error.h"
#include "kernel/norm.h"
#include "model/loss.h"
#include "model/rope.h"

namespace gaggle {
namespace {

at::Tensor index_on(std::span<const int64_t> rows, at::Device device) {
  at::Tensor index = at::empty({static_cast<int64_t>(rows.size())}, at::kLong);
  std::copy(rows.begin(), rows.end(), index.data_ptr<int64_t>());
  return index.to(device);
}

at::Tensor ids_on(const std::vector<int32_t>& ids, at::Device device) {
  at::Tensor index = at::empty({static_cast<int64_t>(ids.size())}, at::kInt);
  std::copy(ids.begin(), ids.end(), index.data_ptr<int32_t>());
  return index.to(device);
}

void check_rows(const Rows& rows, const ModelSpec& spec) {
  const auto t = static_cast<size_t>(rows.count());
  GAGGLE_CHECK(t > 0 && rows.positions.size() == t && !rows.starts.empty() && rows.starts.front() == 0);
  GAGGLE_CHECK(rows.starts.back() == rows.count());
  for (int32_t id : rows.ids) GAGGLE_CHECK(id >= 0 && id < spec.vocab, "token id {} of {}", id, spec.vocab);
  for (int32_t position : rows.positions) GAGGLE_CHECK(position >= 0);
  for (int64_t row : rows.target_rows) GAGGLE_CHECK(row >= 0 && row < rows.count());
}

// Room for `more` rows in every layer's pool; capacity doubles.
void reserve(KeyValueCache& cache, const ModelSpec& spec, int64_t more, at::ScalarType dtype,
             at::Device device) {
  const int64_t width = spec.kv_heads * spec.head_dim, need = cache.length + more;
  const auto grow = [&](std::vector<at::Tensor>& pool) {
    pool.resize(static_cast<size_t>(spec.layers));
    for (at::Tensor& rows : pool) {
      if (rows.defined() && rows.size(0) >= need) continue;
      const int64_t capacity = rows.defined() ? std::max(need, 2 * rows.size(0)) : need;
      at::Tensor wider = at::empty({capacity, width}, at::TensorOptions().dtype(dtype).device(device));
      if (cache.length > 0) wider.narrow(0, 0, cache.length).copy_(rows.narrow(0, 0, cache.length));
      rows = wider;
    }
  };
  grow(cache.keys);
  grow(cache.values);
}

}  // namespace

const RotaryTable& LlamaModel::rotary(const Rows& rows) {
  const int64_t need = *std::max_element(rows.positions.begin(), rows.positions.end()) + 1;
  if (!rotary_.cos.defined() || rotary_.cos.size(0) < need)
    rotary_ = rotary_table(rope_frequencies(spec_), std::max<int64_t>(2 * need, 512), dtype_, device_);
  return rotary_;
}

LlamaPass LlamaModel::begin(const Rows& rows, SiteAdapter* adapter, KeyValueCache* cache) {
  if (adapter) adapter->begin(rows);
  const HeadShape heads{spec_.heads, spec_.kv_heads, spec_.head_dim};
  return {spec_,
          sites_,
          weights_,
          dtype_,
          ids_on(rows.positions, device_),
          rotary(rows),
          plan_attention(rows, cache ? cache->length : 0, spec_.sliding_window, heads, device_),
          adapter,
          cache};
}

at::Tensor LlamaModel::embed(const Rows& rows) const {
  return weights_.embedding.index_select(0, ids_on(rows.ids, device_)).to(residual_dtype(dtype_));
}

at::Tensor LlamaModel::forward(const Rows& rows, SiteAdapter* adapter, KeyValueCache* cache) {
  const c10::InferenceMode no_autograd;
  check_rows(rows, spec_);
  GAGGLE_CHECK(cache || rows.past.empty(), "past rows without a cache");
  if (cache) reserve(*cache, spec_, rows.count(), dtype_, device_);
  LlamaPass pass = begin(rows, adapter, cache);
  const at::Tensor residual = llama_layers(pass, embed(rows), nullptr);
  if (cache) cache->length += rows.count();
  return rms_norm(residual, weights_.norm, spec_.norm_eps, dtype_);
}

at::Tensor LlamaModel::logits(const at::Tensor& hidden, std::span<const int64_t> rows) {
  const c10::InferenceMode no_autograd;
  return weights_.head.forward(hidden.index_select(0, index_on(rows, device_))).to(residual_dtype(dtype_));
}

at::Tensor LlamaModel::nll(const at::Tensor& hidden, const Rows& rows) {
  const c10::InferenceMode no_autograd;
  const TargetRows targets = join_targets(rows);
  return head_nll(weights_.head, hidden.index_select(0, index_on(targets.rows, device_)), targets, rows);
}

at::Tensor LlamaModel::forward_backward(const Rows& rows, SiteAdapter& adapter, const LossOptions& loss) {
  const c10::InferenceMode no_autograd;
  check_rows(rows, spec_);
  GAGGLE_CHECK(rows.past.empty(), "training has no cached rows");
  LlamaPass pass = begin(rows, &adapter, nullptr);
  std::vector<LayerTape> tape(weights_.layers.size());
  const at::Tensor last = llama_layers(pass, embed(rows), &tape);

  const TargetRows targets = join_targets(rows);
  const at::Tensor index = index_on(targets.rows, device_);
  const at::Tensor scored = last.index_select(0, index);
  const at::Tensor hidden = rms_norm(scored, weights_.norm, spec_.norm_eps, dtype_);
  at::Tensor d_hidden = at::empty_like(hidden), d_scored = at::zeros_like(scored);
  const at::Tensor nll = head_backward(weights_.head, hidden, targets, rows, loss, d_hidden);
  rms_norm_backward(scored, d_hidden, weights_.norm, spec_.norm_eps, d_scored);
  llama_layers_backward(pass, at::zeros_like(last).index_add_(0, index, d_scored), tape);
  return nll;
}

}  // namespace gaggle
