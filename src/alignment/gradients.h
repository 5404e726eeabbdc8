// What a measured step hands over: gradients of the tasks of its batch, as flat tensors, and what each task had
// in the batch.
#pragma once

#include <ATen/ATen.h>

#include <span>
#include <string>
#include <vector>

namespace gaggle {

// mixed: with respect to a task's own mixed adapter. skill: with respect to the K skills that all tasks share.
enum class GradientSpace { mixed, skill };

inline const char* name_of(GradientSpace space) { return space == GradientSpace::mixed ? "mixed" : "skill"; }

// A site's run of values in a flat gradient: `a` as [heads, a_size], then `b` as [heads, b_size].
// Mixed adapter of rank r: a_size = d_in / h · r, b_size = r · d_out / h. Gradients of the skills themselves:
// each K times as large.
struct AlignedSite {
  std::string name, kind;  // "model.layers.0.self_attn.q_proj", "q_proj"
  int layer = 0;
  int64_t heads = 1, skills = 1;
  int64_t a_size = 0, b_size = 0;  // values per head
  int64_t offset = 0;              // of the site's first value
  int64_t size() const { return heads * (a_size + b_size); }
};

// Values of a flat gradient; checks that the sites follow one another without holes.
int64_t values_of(std::span<const AlignedSite> sites);

// What the T tasks of a batch have in it, the same on every rank. The n-th sample of a task in the batch is
// even or odd as n is (from 0). Shares are of the batch's target tokens; even and odd make the task's share.
struct BatchTasks {
  std::vector<int> tasks;                          // [T] task numbers, ascending
  std::vector<int64_t> even_samples, odd_samples;  // [T]
  std::vector<double> even_share, odd_share;       // [T]
};

// Sums over this rank's lanes.
struct TaskGradients {
  GradientSpace space = GradientSpace::mixed;  // of the values
  at::Tensor all;                              // [T, values] fp32
  at::Tensor even;                             // [T, values] fp32, of the samples of even occurrence
  // Routing by site, [T, h, K], rows sum to 1 per head; empty: none is known (samples per example, sketches).
  std::vector<at::Tensor> weights;
};

}  // namespace gaggle
