#include "model/speed.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <array>

#include "base/clock.h"
#include "base/error.h"
#include "kernel/dispatch.h"

namespace gaggle {

namespace {

// Square products, larger and larger until eight of them are long beside their launches and one wait; the best of them.
double gpu_gemm_flops(at::ScalarType dtype, at::Device device) {
  constexpr int products = 8;
  double best = 0, seconds = 0;
  for (int64_t n = 512; n <= 8192 && seconds < 0.01; n *= 2) {
    // Values as they come in a model: a GPU draws less power, and is faster, where all are alike.
    const at::Tensor x = at::arange(n * n, at::TensorOptions(device).dtype(at::kFloat)).sin_().view({n, n}).to(dtype);
    const FrozenLinear linear(x, {}, BaseUse::inference);
    const auto pass = [&] {
      for (int i = 0; i < products; ++i) linear.forward(x);
      wait_for(device);
    };
    pass();
    const double begin = monotonic_seconds();
    pass();
    seconds = std::max(1e-9, monotonic_seconds() - begin);
    best = std::max(best, products * 2.0 * static_cast<double>(n * n * n) / seconds);
  }
  return best;
}

}  // namespace

double measure_gemm_flops(at::ScalarType dtype, at::Device device, int threads) {
  const c10::InferenceMode no_autograd;
  if (!device.is_cpu()) return gpu_gemm_flops(dtype, device);
  const int before = at::get_num_threads();
  if (threads > 0 && threads != before) at::set_num_threads(threads);
  const int64_t rows = 800;
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
  };
  pass();
  // The best of short passes: what the hardware can do, not what else ran beside it.
  double best = 0;
  const double start = monotonic_seconds();
  do {
    const double begin = monotonic_seconds();
    pass();
    best = std::max(best, flops / std::max(1e-9, monotonic_seconds() - begin));
  } while (monotonic_seconds() - start < 0.1);
  if (threads > 0 && threads != before) at::set_num_threads(before);
  return best;
}

double decoder_attention_flops(const ModelSpec& spec, int64_t tokens, int64_t source) {
  const double sliding =  // share of layers
      spec.slides.empty()
          ? 1
          : static_cast<double>(std::ranges::count(spec.slides, true)) / static_cast<double>(spec.layers);
  // Keys summed over tokens, of a layer: 1 + 2 + …, of which a window leaves its width.
  const auto triangle = [](int64_t n) { return static_cast<double>(n) * static_cast<double>(n + 1) / 2; };
  const int64_t window = spec.sliding_window > 0 ? std::min(spec.sliding_window, tokens) : tokens;
  const double windowed = triangle(window) + static_cast<double>(tokens - window) * static_cast<double>(window);
  const double seen =
      sliding * windowed + (1 - sliding) * triangle(tokens) + static_cast<double>(tokens) * static_cast<double>(source);
  return 12 * static_cast<double>(spec.heads * spec.head_dim * spec.layers) * seen;
}

double encoder_attention_flops(const ModelSpec& spec, int64_t tokens) {
  return 12 * static_cast<double>(spec.heads * spec.head_dim * spec.encoder_layers) * static_cast<double>(tokens) *
         static_cast<double>(tokens);
}

namespace {

double weight_flops(const BaseModel& base, const Microbatch& batch) {
  const ModelSpec& spec = base.spec();
  double flops =
      4.0 * static_cast<double>(spec.vocab * spec.hidden) * static_cast<double>(join_targets(batch).tokens.size());
  for (const Side side : sides)
    flops += 4.0 * static_cast<double>(base.linear_weights(side)) * static_cast<double>(batch.side(side).count());
  return flops;
}

double attention_flops(const ModelSpec& spec, const Microbatch& batch) {
  const auto length = [](const TokenSequences& set, size_t s) { return set.starts[s + 1] - set.starts[s]; };
  double flops = 0;
  for (size_t s = 0; s + 1 < batch.decoder.starts.size(); ++s)
    flops += decoder_attention_flops(
        spec, length(batch.decoder, s),
        batch.sources.empty() ? 0 : length(batch.encoder, static_cast<size_t>(batch.sources[s])));
  for (size_t s = 0; s + 1 < batch.encoder.starts.size(); ++s)
    flops += encoder_attention_flops(spec, length(batch.encoder, s));
  return flops;
}

}  // namespace

double useful_flops(const BaseModel& base, const Microbatch& batch) {
  return weight_flops(base, batch) + attention_flops(base.spec(), batch);
}

double forward_flops(const BaseModel& base, const Microbatch& batch) {
  return weight_flops(base, batch) / 2 + attention_flops(base.spec(), batch) / 3;
}

}  // namespace gaggle
