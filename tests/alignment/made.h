// Sites, batches and gradients that every rank can make for itself.
#pragma once

#include <gtest/gtest.h>

#include "alignment/gram.h"
#include "base/philox.h"

namespace gaggle::test {

inline at::Tensor normal(std::string_view purpose, uint64_t number, at::IntArrayRef shape) {
  at::Tensor values = at::empty(shape);
  fill_normal(random_key(purpose, {number}), 1,
              {values.mutable_data_ptr<float>(), static_cast<size_t>(values.numel())});
  return values;
}

// Sizes differ by site; `copies` times as many values per head (K: gradients of the skills themselves).
inline std::vector<AlignedSite> make_sites(int count, int64_t heads, int64_t skills, int64_t copies = 1) {
  std::vector<AlignedSite> sites;
  int64_t offset = 0;
  for (int i = 0; i < count; ++i) {
    const std::string kind = i % 2 == 0 ? "q_proj" : "down_proj";
    sites.push_back({"layers." + std::to_string(i / 2) + "." + kind, kind, i / 2, heads, skills,
                     copies * (3 + 5 * (i % 3)), copies * (4 + 7 * (i % 4)), offset});
    offset += sites.back().size();
  }
  return sites;
}

// [T, heads, K] by site, rows sum to 1.
inline std::vector<at::Tensor> make_weights(const std::vector<AlignedSite>& sites, int64_t tasks) {
  std::vector<at::Tensor> weights;
  for (size_t s = 0; s < sites.size(); ++s)
    weights.push_back(at::softmax(normal("weights", s, {tasks, sites[s].heads, sites[s].skills}), 2));
  return weights;
}

// This rank's part of the gradients; the tasks have a direction in common.
inline TaskGradients make_gradients(const std::vector<AlignedSite>& sites, int64_t tasks, int rank) {
  const int64_t values = values_of(sites);
  const auto part = static_cast<uint64_t>(rank);
  const at::Tensor common = normal("common", 0, {1, values});
  const at::Tensor even = normal("even", part, {tasks, values}) + common;
  return {GradientSpace::mixed, even + normal("odd", part, {tasks, values}) + common, even, make_weights(sites, tasks)};
}

inline BatchTasks make_batch(int64_t tasks) {
  BatchTasks batch;
  for (int64_t t = 0; t < tasks; ++t) {
    batch.tasks.push_back(static_cast<int>(t));
    batch.even_samples.push_back(2);
    batch.odd_samples.push_back(2);
    batch.even_share.push_back(0.01 * static_cast<double>(t + 1));
    batch.odd_share.push_back(0.02 * static_cast<double>(t + 2));
  }
  return batch;
}

// |ours - exact| / |exact|, the largest of all entries each on its own.
inline double worst(const at::Tensor& ours, const at::Tensor& exact) {
  return ((ours - exact).abs() / exact.abs()).max().item<double>();
}

}  // namespace gaggle::test
