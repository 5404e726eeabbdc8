// Mixtures of low-rank skills in training (Poly, arXiv 2202.13914; MHR, arXiv 2211.03831). The tokens of a mixture
// get y += scale · B (A x) with A and B mixed per head q: A[q] = Σ_k w_qk · A_k[q]. Sizes alone decide which
// products that takes, so that a micro-batch always has the same bits:
//   segmented: a mixture's pair is made once and multiplies its tokens (kernel/segmented_lowrank);
//   joined:    these pairs stand side by side and multiply all tokens, where these are few (kernel/joined_lowrank);
//   stacked:   all skills multiply, then the weights count, where a mixture has few tokens (kernel/stacked_skills).
#pragma once

#include <functional>
#include <map>

#include "kernel/joined_lowrank.h"
#include "kernel/mixing_weights.h"
#include "kernel/segmented_lowrank.h"
#include "kernel/stacked_skills.h"

namespace gaggle {

// The skills of one site, fp32 (fp64).
struct SkillSite {
  at::Tensor a, b;  // [h, K, d_in/h · r] and [h, K, r · d_out/h]
  int64_t d_in = 0, d_out = 0, rank = 0;
  double scale = 1;
  Side side = Side::decoder;
  int64_t router = 0;         // whose weights of a mixture count here
  at::Tensor grad_a, grad_b;  // as a and b: where gradients are added; undefined: not wanted
};

// The mixture of a task, or of one sample.
struct SkillMixture {
  int task = 0;
  bool even = false;           // the mixture of a sample of even occurrence in the batch
  MixingWeights weights;       // by router, [R, h, K]
  std::vector<LowRank> pairs;  // by site; empty: not made
  // Of the pairs, flat: A [d_in, r] and B [r, d_out] of every site; of all tokens, and of those of even samples.
  at::Tensor gradient, even_gradient;
  bool touched = false;  // by a backward pass since the gradients were last finished
};

// The tokens of one side of a micro-batch.
struct MixtureTokens {
  std::vector<Segment> segments, even_segments;            // members count the micro-batch's mixtures
  std::vector<Segment> task_segments, even_task_segments;  // members are tasks
  int64_t count = 0;
};

// What is seen of a lane's gradients: a task's gradient at one site with respect to its mixture, A [h,
// d_in/h, r] then B [h, r, d_out/h], or l [h, width/h]; with samples per example with respect to the skills,
// [h, K, …] in place of [h, …]. Contributions add up over micro-batches and lanes.
struct WatchedGradient {
  int task = 0;
  bool even = false;    // of the task's samples of even occurrence in the batch alone; else of all
  size_t site = 0;      // place in the list of sites
  at::Tensor gradient;  // flat, fp32
};
struct GradientWatch {
  using Sink = std::function<void(const WatchedGradient&)>;
  Sink halves;  // of gradient alignment: sees what is of all samples, and that of even ones besides; empty: it is off
  Sink whole;   // of combined gradients: sees what is of all samples; empty: they are summed as they come
  double halves_seconds = 0,
         whole_seconds = 0;  // that showing has cost so far: while alignment is on, and while it is not

  bool on() const { return halves || whole; }
  double& seconds() { return halves ? halves_seconds : whole_seconds; }
  void show(const WatchedGradient& gradient) const {
    if (halves) halves(gradient);
    if (whole && !gradient.even) whole(gradient);
  }
};

// [T] int64: the member of every token of these segments.
at::Tensor member_by_token(const std::vector<Segment>& segments, at::Device device);

class SkillProducts {
 public:
  // `type`: of the activations.
  SkillProducts(std::vector<SkillSite> sites, at::ScalarType type);
  void refresh();  // the skills have changed
  void set_gradients(size_t site, const at::Tensor& a, const at::Tensor& b);
  int64_t pair_values() const { return pair_values_; }  // of one mixture, at all sites

  // A micro-batch of these mixtures, each of one sample or each of one task.
  void begin(std::vector<SkillMixture*> mixtures, BySide<MixtureTokens> tokens, bool of_samples);
  void forward(size_t site, const at::Tensor& x, at::Tensor& y);
  void backward(size_t site, const at::Tensor& x, const at::Tensor& dy, at::Tensor& dx, GradientWatch& watch);
  // What backward passes left in these mixtures is added to the skills' gradients, and taken out of them.
  // Returns the gradient of their weights, [R, M, h, K].
  at::Tensor finish(std::span<SkillMixture* const> mixtures, GradientWatch& watch);

 private:
  struct Gradients {
    at::Tensor a, b;  // [M, h, n] of mixtures at one site
  };
  void begin_stacked();
  void mix(std::span<SkillMixture* const> mixtures);
  void join(size_t site);
  const at::Tensor& foreign(const SkillSite& site, bool even);
  at::Tensor weights_by_token(const SkillSite& site) const;
  std::vector<LowRank> pairs_at(size_t site) const;
  LowRankGrad gradient_at(size_t site, at::Tensor& flat) const;
  void add_gradients();
  void backward_pairs(size_t site, const at::Tensor& x, const at::Tensor& dy, at::Tensor dx, bool even);
  void backward_stacked(size_t site, const at::Tensor& x, const at::Tensor& dy, at::Tensor& dx, GradientWatch& watch);
  Gradients mixed_gradients(size_t site, std::span<SkillMixture* const> mixtures, bool even) const;
  void show_stacked(size_t site, const at::Tensor& x, const at::Tensor& dy, const at::Tensor& w,
                    GradientWatch& watch) const;
  void show_tasks(std::span<SkillMixture* const> mixtures, GradientWatch& watch) const;
  void show_samples(std::span<SkillMixture* const> mixtures, const at::Tensor& w, GradientWatch& watch) const;

  std::vector<SkillSite> sites_;
  std::vector<int64_t> pair_begin_;  // by site, in a mixture's flat gradient
  int64_t pair_values_ = 0;
  at::ScalarType type_;
  at::TensorOptions wide_;              // of the skills
  std::vector<StackedSkills> stacked_;  // by site, in the activations' type; made when first needed

  // Of this micro-batch:
  std::vector<SkillMixture*> mixtures_;
  BySide<MixtureTokens> tokens_;
  bool of_samples_ = false, is_stacked_ = false;
  std::vector<JoinedPairs> joined_;                                 // by site; undefined: segmented
  BySide<std::map<std::pair<int64_t, bool>, at::Tensor>> foreign_;  // by rank, and for even samples alone
  at::Tensor gradients_, even_gradients_;                           // [M, pair_values], where joined
  BySide<at::Tensor> mixture_by_token_;                             // [T], where stacked
  at::Tensor weights_, d_weights_;                                  // [R, M, h, K]
};

}  // namespace gaggle
