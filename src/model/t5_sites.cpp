// The names of T5's linears, and the bias that its heads give to distances.
#include <cmath>

#include "base/error.h"
#include "model/t5.h"

namespace gaggle {
namespace {

struct SiteList {
  const ModelSpec& spec;
  std::vector<Site> sites = {};
  int layer = 0;

  void add(const std::string& block, const std::string& kind, int64_t d_in, int64_t d_out, Side side,
           bool rescaled = false, bool reads_activation = false) {
    sites.push_back({static_cast<int>(sites.size()), block + "." + kind, kind, layer, d_in, d_out, side,
                     reads_activation, rescaled});
  }
  void attention(const std::string& block, Side side, Side read) {
    const int64_t inner = spec.heads * spec.head_dim;
    add(block, "q", spec.hidden, inner, side);
    add(block, "k", spec.hidden, inner, read, /*rescaled=*/true);
    add(block, "v", spec.hidden, inner, read, /*rescaled=*/true);
    add(block, "o", inner, spec.hidden, side);
  }
  void feed_forward(const std::string& block, Side side) {
    if (spec.gated) {
      add(block, "wi_0", spec.hidden, spec.intermediate, side);
      add(block, "wi_1", spec.hidden, spec.intermediate, side, /*rescaled=*/true);
    } else {
      add(block, "wi", spec.hidden, spec.intermediate, side);
    }
    add(block, "wo", spec.intermediate, spec.hidden, side, /*rescaled=*/!spec.gated, /*reads_activation=*/true);
  }
};

}  // namespace

std::vector<Site> t5_sites(const ModelSpec& spec) {
  SiteList list{spec};
  for (int64_t l = 0; l < spec.encoder_layers; ++l, ++list.layer) {
    const std::string block = fmt::format("encoder.block.{}.layer.", l);
    list.attention(block + "0.SelfAttention", Side::encoder, Side::encoder);
    list.feed_forward(block + "1.DenseReluDense", Side::encoder);
  }
  for (int64_t l = 0; l < spec.layers; ++l, ++list.layer) {
    const std::string block = fmt::format("decoder.block.{}.layer.", l);
    list.attention(block + "0.SelfAttention", Side::decoder, Side::decoder);
    list.attention(block + "1.EncDecAttention", Side::decoder, Side::encoder);
    list.feed_forward(block + "2.DenseReluDense", Side::decoder);
  }
  return std::move(list.sites);
}

// Near distances have a bucket each, farther ones share buckets that grow by their logarithm (in fp32, as
// transformers takes it: at the borders of buckets rounding decides).
PositionBias t5_position_bias(const at::Tensor& buckets, bool bidirectional, int64_t max_distance, int64_t reach) {
  const c10::InferenceMode no_autograd;
  const int64_t count = buckets.size(0) / (bidirectional ? 2 : 1);
  const at::Tensor ahead = at::arange(-reach, reach + 1, at::kLong);  // key - query
  at::Tensor bucket = bidirectional ? (ahead > 0).to(at::kLong) * count : at::zeros_like(ahead);
  const at::Tensor distance = bidirectional ? ahead.abs() : -ahead.clamp_max(0);
  const int64_t near = count / 2;
  const double width = std::log(static_cast<double>(max_distance) / static_cast<double>(near));
  const at::Tensor far = near + (at::log(distance.to(at::kFloat) / near) / width * (count - near)).to(at::kLong);
  bucket += at::where(distance < near, distance, far.clamp_max(count - 1));
  return {buckets.index_select(0, bucket.to(buckets.device())).t().contiguous(), reach};
}

}  // namespace gaggle
