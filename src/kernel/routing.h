// Per-token routing at one site: scores, the k best, their weights, and the weighted sum of experts.
#pragma once

#include <ATen/ATen.h>

#include <vector>

#include "base/microbatch.h"
#include "kernel/segmented_lowrank.h"

namespace gaggle {

enum class Scoring { phatgoose, arrow_mttl, arrow_phatgoose };

// Directions rounded to bf16; kernel/token_scores.h says what for.
struct RoughDirections {
  at::Tensor rows;   // [U, d_in] bf16; undefined: there are none
  at::Tensor sums;   // [U] fp32, the sum over each row
  double error = 0;  // |x·v - x·row| ≤ error · |x|
};

// Who takes part at a site, and by which direction.
struct SiteCandidates {
  std::vector<int> candidates;  // [C] expert numbers, ascending
  at::Tensor candidate_ids;     // [C] int64, the same
  at::Tensor directions;        // [U, d_in] fp32: standardised gates, or arrow vectors
  at::Tensor direction_of;      // [C] int64, rows of `directions`; undefined: the i-th
  RoughDirections rough;        // of `directions`
};

// What routing needs of a site, prepared once. Copies share the tensors.
struct RoutedSite : SiteCandidates {
  // [N], absent: undefined a; views of the stack. On a CPU one that no token has taken may have its shape alone (tensors
  // of the meta device), and then there is no stack.
  std::vector<LowRank> experts;
  int64_t rank =
      0;  // of all N in the stack: the largest, on GPUs a multiple of 8; who has less, or is absent, has zeros
  at::Tensor stacked_a;   // [N · rank, d_in]; undefined: no expert is there
  at::Tensor stacked_bt;  // [N · rank, d_out]
  at::Tensor numbers;     // [N] int64: 0, 1, …
  at::Tensor scales;      // [N] fp32, 0 for absent ones; undefined: none there
};

// The experts of one site, on one device and in one dtype.
RoutedSite stack_experts(std::vector<LowRank> experts);

// Who takes part, and by which direction [C, d_in] fp32 (none: for a method that takes no scores). Equal
// directions are merged, so that equal gates tie exactly however a matrix product rounds its columns. Every
// candidate must have a pair at the site.
void set_candidates(RoutedSite& site, std::vector<int> candidates, const std::vector<at::Tensor>& directions);

// The same by directions of all experts [N]; undefined: it is no candidate.
void set_directions(RoutedSite& site, const std::vector<at::Tensor>& by_expert);
// What follows from a site's candidates and directions, for tokens of this type: candidate_ids and rough.
void finish_candidates(SiteCandidates& site, at::Device device, at::ScalarType type);

struct TokenRouting {
  at::Tensor experts;  // [T, k'] int64, expert numbers, best first (ties: the lower number)
  at::Tensor weights;  // [T, k'] fp32, softmax over those k' = min(k, C)
};

// v standardised over d (biased variance, eps 1e-5). v [.., d] fp32.
at::Tensor standardise(const at::Tensor& v);

// The top right singular vector of B A, fp32 [d_in], by QR of the factors and an r×r SVD in fp64 (Arrow,
// arXiv 2405.11157). Zero where B A = 0.
at::Tensor arrow_direction(const at::Tensor& a, const at::Tensor& b);

// phatgoose: s = x̂·v̂/√d; arrow_mttl: |x·v|; arrow_phatgoose: |x·v|/(10√d). [T, C] fp32.
at::Tensor direction_scores(const at::Tensor& x, const SiteCandidates& site, Scoring scoring);

// The k candidates of the best scores [T, C] (k = 0: all), weighted by a softmax of score / temperature over these.
TokenRouting best_of(const at::Tensor& scores, const at::Tensor& candidate_ids, int64_t k, double temperature = 1);

// best_of(direction_scores()). No candidates: k' = 0.
TokenRouting route(const at::Tensor& x, const RoutedSite& site, Scoring scoring, int64_t k);

// y [T, d_out] += Σ_j weights[t,j] · scale · B (A x[t]) of experts[t,j]. A CPU has kernel/routed_rows. On a GPU, few
// columns in all, or not bf16: one product over the stack with zero weights; else rows sorted by expert and grouped products.
// Nothing depends on threads, and on a GPU neither launches nor waits on N.
void add_routed(const at::Tensor& x, at::Tensor& y, const RoutedSite& site, const TokenRouting& routed);

// sums [N] fp64 += the weight that each expert got.
void add_weights(const TokenRouting& routed, at::Tensor& sums);

}  // namespace gaggle
