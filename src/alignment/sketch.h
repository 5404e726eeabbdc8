// Count-sketches of per-task gradients (Charikar, Chen, Farach-Colton, "Finding frequent items in data
// streams", ICALP 2002): every coordinate is added to one bucket under a random sign. Linear, so sketches add
// over lanes, halves and ranks, and inner products of sketches estimate those of the gradients without bias,
// with variance (|a|²|b|² + <a,b>²) / dims at most.
#pragma once

#include <span>
#include <vector>

#include "alignment/gradients.h"

namespace gaggle {

// Whether per-task gradients fit: tasks · values · 4 bytes, of the whole batch and of its even half.
bool exact_fits(int64_t tasks, int64_t values, int64_t memory_bytes);

// by_site: every site has dims of its own, in proportion to its values (at least one), so that numbers by site
// can be had. one: all sites share all dims.
enum class Slots { by_site, one };

struct SketchPlan {
  std::vector<AlignedSite> sites;  // what is sketched
  // Sketches seen as gradients with a plain inner product: what task_grams and sketch_errors take.
  std::vector<AlignedSite> slots;
  int64_t dims = 0;
  bool weighted = false;  // sketches of w ⊗ G: skill space from mixed gradients
  // By site [K or 1, site.size()] int32: bucket, + dims of the slot for a minus.
  std::vector<at::Tensor> buckets;
};

// Signs and buckets are a function of (seed, site name, skill, place in the site). Holds 4 bytes a value, times
// K if weighted. Throws UserError if dims do not go round.
SketchPlan plan_sketch(std::vector<AlignedSite> sites, Slots slots, int64_t dims, bool weighted, uint64_t seed,
                       at::Device device);

// sketch [dims] fp32 += the sketch of one task's gradient at a site, [site.size()]. weights [h, K] of the task:
// read if the plan is weighted.
void add_to_sketch(const SketchPlan& plan, size_t site, const at::Tensor& gradient, const at::Tensor& weights,
                   at::Tensor sketch);

// Of whole gradients: [T, values] and weights [T, h, K] by site → [T, dims] fp32.
at::Tensor sketch_of(const SketchPlan& plan, const at::Tensor& gradients, std::span<const at::Tensor> weights);

// Standard errors of the cosines that come from sketched Grams [slots, T, T] added up over `chosen` slots, [T,
// T] fp64: sqrt(Σ (|a|²|b|² + <a,b>²) / dims) / (|a||b|), norms as estimated.
at::Tensor cosine_errors(const at::Tensor& grams, std::span<const AlignedSite> slots, std::span<const size_t> chosen);

// Root mean square over the pairs of different tasks, without NaN; NaN if there are none.
double typical_error(const at::Tensor& errors);

}  // namespace gaggle
