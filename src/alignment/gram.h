// Gram matrices of the tasks' gradients by site, in mixed space and in the space of the shared skills.
//
// With one routing row per task the gradient of skill k at head q is w_qk G[q], so that (Poly, arXiv
// 2202.13914; MHR, arXiv 2211.03831)
//   <g_t, g_t'> = Σ_sites Σ_q (Σ_k w^t_qk w^t'_qk) (<G^A_t[q], G^A_t'[q]> + <G^B_t[q], G^B_t'[q]>)
// needs only gradients of LoRA's size. The routing table has no part in it: tasks do not share its rows.
#pragma once

#include <map>
#include <span>

#include "alignment/site_sums.h"

namespace gaggle {

// [sites, T, T] fp64 on the CPU. Gradients are divided by their task's share of the batch's target tokens.
struct Grams {
  at::Tensor full;  // <G_t, G_t'>
  // ½ (<even_t, odd_t'> + <odd_t, even_t'>), each half divided by its own share: what the noise of single
  // samples does not enter. Rows and columns of a task with an empty half are 0.
  at::Tensor halves;
};

// Gradients of one site, [T, site.size()], → products per head in fp64, [heads, T, T]: the sum over heads is
// the Gram in the gradients' own space.
Grams head_products(const AlignedSite& site, const at::Tensor& all, const at::Tensor& even, const BatchTasks& batch);

// The Grams of all sites in the spaces wanted, on every rank. The gradients' own space can always be had; skill
// space from mixed gradients needs weights. Collective: all-to-all of the gradients by site, then an all-gather
// of sites · T² numbers. Costs 6 · T² · values FLOP in fp64, shared by the ranks.
std::map<GradientSpace, Grams> task_grams(std::span<const AlignedSite> sites, const TaskGradients& mine,
                                          const BatchTasks& batch, std::span<const GradientSpace> wanted,
                                          Communicator& group);

}  // namespace gaggle
