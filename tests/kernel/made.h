// Values, rows and the distance from the exact result, for the tests of kernels here and on the GPU.
#pragma once

#include <ATen/ATen.h>

#include <optional>

#include "base/microbatch.h"

namespace gaggle {

// |ours - exact| / |exact|, in fp64 on the CPU.
inline double apart(const at::Tensor& ours, const at::Tensor& exact) {
  const at::Tensor e = exact.to(at::kCPU, at::kDouble);
  return ((ours.to(at::kCPU, at::kDouble) - e).norm() / (e.norm() + 1e-30)).item<double>();
}

// Random values that bf16 holds exactly, so that types differ in arithmetic only.
inline at::Tensor values(at::IntArrayRef shape) { return at::randn(shape).to(at::kBFloat16).to(at::kDouble); }

// The gates that low-rank pairs are tested with: none, or with so much beside v·x.
inline const std::vector<std::optional<double>> gate_biases = {std::nullopt, 0, -0.7};
inline const auto gate_case_name = [](const auto& info) {
  return !info.param ? "plain" : *info.param == 0 ? "gated" : "biased";
};

// Sequences of these lengths, without ids that mean anything.
inline Microbatch ragged(const std::vector<int64_t>& lengths) {
  Microbatch batch;
  batch.decoder.starts.push_back(0);
  for (const int64_t n : lengths) {
    for (int64_t i = 0; i < n; ++i)
      batch.decoder.ids.push_back(0), batch.decoder.positions.push_back(static_cast<int32_t>(i));
    batch.decoder.starts.push_back(batch.decoder.count());
  }
  return batch;
}

}  // namespace gaggle
