#include "model/speed.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <array>

#include "base/clock.h"
#include "base/error.h"

namespace gaggle {

double measure_gemm_flops(at::ScalarType dtype, at::Device device, int threads) {
  const c10::InferenceMode no_autograd;
  const int before = at::get_num_threads();
  if (threads > 0 && threads != before) at::set_num_threads(threads);
  const int64_t rows = device.is_cpu() ? 800 : 8192;
  const std::array<std::pair<int64_t, int64_t>, 4> shapes = {{{576, 576}, {576, 192}, {576, 1536}, {1536, 576}}};
  std::vector<std::pair<FrozenLinear, at::Tensor>> products;
  double flops = 0;
  const auto options = at::TensorOptions().device(device).dtype(dtype);
  for (const auto& [d_in, d_out] : shapes) {
    products.emplace_back(FrozenLinear(at::ones({d_out, d_in}, options), {}, BaseUse::inference),
                          at::ones({rows, d_in}, options));
    flops += 2.0 * static_cast<double>(rows * d_in * d_out);
  }
  const auto pass = [&] {
    at::Tensor y;
    for (const auto& [linear, x] : products) y = linear.forward(x);
    if (!y.is_cpu()) y.flatten()[0].item();  // waits for the device
  };
  pass();
  // The best of short passes: what the hardware can do, not what else ran beside it.
  double best = 0;
  const double start = monotonic_seconds();
  do {
    const double begin = monotonic_seconds();
    pass();
    best = std::max(best, flops / std::max(1e-9, monotonic_seconds() - begin));
  } while (monotonic_seconds() - start < 0.2);
  if (threads > 0 && threads != before) at::set_num_threads(before);
  return best;
}

double useful_flops(const BaseModel& base, const Microbatch& batch) {
  const ModelSpec& spec = base.spec();
  const auto length = [](const TokenSequences& set, size_t s) { return set.starts[s + 1] - set.starts[s]; };
  const double sliding =  // share of layers
      spec.slides.empty()
          ? 1
          : static_cast<double>(std::ranges::count(spec.slides, true)) / static_cast<double>(spec.layers);
  double seen = 0, seen_by_encoder = 0;  // keys summed over tokens, of a layer
  for (size_t s = 0; s + 1 < batch.decoder.starts.size(); ++s) {
    const int64_t tokens = length(batch.decoder, s);
    for (int64_t n = 1; n <= tokens; ++n) {
      const double windowed = static_cast<double>(spec.sliding_window > 0 ? std::min(n, spec.sliding_window) : n);
      seen += sliding * windowed + (1 - sliding) * static_cast<double>(n);
    }
    if (!batch.sources.empty())
      seen += static_cast<double>(tokens * length(batch.encoder, static_cast<size_t>(batch.sources[s])));
  }
  for (size_t s = 0; s + 1 < batch.encoder.starts.size(); ++s)
    seen_by_encoder += static_cast<double>(length(batch.encoder, s) * length(batch.encoder, s));
  const auto heads = static_cast<double>(spec.heads * spec.head_dim);
  double flops =
      4.0 * static_cast<double>(spec.vocab * spec.hidden) * static_cast<double>(join_targets(batch).tokens.size());
  flops += 12 * heads *
           (static_cast<double>(spec.layers) * seen + static_cast<double>(spec.encoder_layers) * seen_by_encoder);
  for (const Side side : sides)
    flops += 4.0 * static_cast<double>(base.linear_weights(side)) * static_cast<double>(batch.side(side).count());
  return flops;
}

}  // namespace gaggle
