// Gradients of several tasks joined by weights that follow from their Gram (train.combine): g = Σ_t w_t g_t.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <string>
#include <vector>

namespace gaggle {

// sum: w = 1. upgrad: UPGrad (Quinton and Rey, arXiv 2406.16232): the mean of all tasks' gradients, each brought first to
// the nearest direction along which no task's loss grows. pcgrad: PCGrad (Yu et al., arXiv 2001.06782): the sum of all
// tasks' gradients, each of which has lost, task after task, what works against another's.
enum class Combine { sum, upgrad, pcgrad };
Combine combine_named(const std::string& word);
const char* name_of(Combine combine);

struct CombineSettings {
  Combine how = Combine::sum;
  uint64_t seed = 0;       // of pcgrad's orders
  int64_t most_tasks = 1;  // in a step; read unless how is sum
};

// gram [T, T] fp64 on the CPU, G_tt' = <g_t, g_t'>. w = 1/T Σ_i argmin_{v ≥ e_i} vᵀGv (their Proposition 1), exact but for
// rounding, with G / tr G + 1e-4 I for G, as TorchJD's UPGrad (norm_eps = 0): so v is one also where gradients depend on
// each other. Not finite: NaN.
std::vector<double> upgrad_weights(const at::Tensor& gram);

// Of each task i v = e_i, then for the others j in an order of its own: v_j -= (Gv)_j / G_jj where (Gv)_j < 0; w = Σ_i v.
// The order of task i is the permutation under random_key("pcgrad", {key, i}), as TorchJD's PCGrad with that order.
std::vector<double> pcgrad_weights(const at::Tensor& gram, uint64_t key);

// Of a step whose first sample stands at `first_sample` in the global order.
std::vector<double> combining_weights(const CombineSettings& settings, const at::Tensor& gram, int64_t first_sample);

}  // namespace gaggle
