// Poly / MHR in training: every task of a micro-batch (every example, where samples are drawn per example) gets
// its mixture of the skills; gradients come back to skills and routing table at the end of each lane.
#pragma once

#include <map>

#include "adapter/poly.h"
#include "adapter/router.h"
#include "kernel/stacked_skills.h"

namespace gaggle {

enum class Sampling { none, example, task };

struct RoutingSchedule {
  Sampling sampling = Sampling::none;
  double temperature = 1;
  uint64_t seed = 0;
  int64_t average_from = -1;  // from this step on routing is uniform; -1: never
  // In steps [interpolate_from, interpolate_to) routing goes over to uniform: w ← a·w + (1 - a)/K with
  // a = cos(π/2 · share of those steps that have begun). Equal: never.
  int64_t interpolate_from = 0, interpolate_to = 0;
};

// Share that the table keeps against uniform routing in a step.
double routing_kept(const RoutingSchedule& schedule, int64_t step);

// What gradient alignment sees of a step, summed over this rank's lanes: per task the gradient with respect to
// its mixed adapter, site by site A [h, d_in/h, r] then B [h, r, d_out/h]; with samples per example with
// respect to the skills, A [h, K, d_in/h, r] then B [h, K, r, d_out/h]. fp32, flat.
struct WatchedGradients {
  std::map<int, at::Tensor> all;      // by task
  std::map<int, at::Tensor> even;     // of its samples of even occurrence in the batch
  std::map<int, at::Tensor> weights;  // its mixing weights in this step, [routers, h, K]; none per example
};

// Where a site's gradient lies in WatchedGradients' flat tensors: A at `offset`, B behind it.
struct WatchedSite {
  Site site;
  int64_t rank = 0, offset = 0;
  size_t router = 0;  // in WatchedGradients::weights
};

class PolyAdapter : public Trainable {
 public:
  // `values`: [poly_layout(spec).size()].
  PolyAdapter(PolySpec spec, const at::Tensor& values, RoutingSchedule schedule, at::ScalarType dtype,
              at::Device device);
  const PolySpec& spec() const { return spec_; }
  // Trained and frozen tensors, in poly_layout's order.
  at::Tensor all_values() const;

  void refresh() override;
  void set_gradients(const at::Tensor& flat) override;
  void begin_step(int64_t step) override;
  void begin_evaluation() override;
  void finish_gradients() override;
  void begin(const Rows& rows) override;
  void forward(const Site& site, const at::Tensor& x, at::Tensor& y) override;
  void backward(const Site& site, const at::Tensor& x, const at::Tensor& dy, at::Tensor& dx) override;

  // From here on gradients are added to `gradients` too; null: no more. Nothing that is trained changes by it.
  void watch(WatchedGradients* gradients) { watched_ = gradients; }
  bool per_example() const { return sampling_now_ == Sampling::example; }
  // Values of a flat tensor in WatchedGradients.
  std::vector<WatchedSite> watched_sites() const;
  int64_t watched_size() const { return mixed_size_ * (per_example() ? spec_.skills : 1); }

 private:
  struct Place {  // what sits on a site
    LoraSite lora;
    at::Tensor a, b;            // skills [h, K, n], fp32
    at::Tensor grad_a, grad_b;  // likewise; undefined: not wanted
    size_t router = 0;
    int64_t at_a = 0, at_b = 0;  // in a mixture's flat gradient
    StackedSkills stacked;       // in the activations' type; made when first needed
  };
  struct Router {
    at::Tensor logits, gradient;  // [tasks, h·K]; undefined: fixed routing, not wanted
  };
  struct Mixture {
    int task = 0;
    MixingWeights weights;       // by router, [R, h, K]
    std::vector<LowRank> pairs;  // by place; empty: not mixed
    at::Tensor gradient, even;   // flat: per place A [d_in, r], B [r, d_out]; of all samples, of even ones
    bool of_even_sample = false;
    bool touched = false;  // by a backward pass since gradients were last finished
  };

  at::Tensor tensor(const std::string& name) const;
  Mixture& mixture(int task, int64_t sample);
  MixingWeights draw_weights(int task, int64_t sample) const;
  at::Tensor stacked_weights(std::span<Mixture* const> mixtures) const;  // [R, M, h, K]
  void activate_tasks(const Rows& rows);
  void activate_samples(const Rows& rows);
  void mix(std::span<Mixture* const> mixtures);
  void prepare_stacked();
  LowRankGrad gradient_views(const Place& place, at::Tensor& flat) const;
  void backward_stacked(const Place& place, const at::Tensor& x, const at::Tensor& dy, at::Tensor& dx);
  std::vector<at::Tensor> mixed_gradients(const Place& place, std::span<Mixture* const> mixtures,
                                          bool even) const;
  void flush_skills(std::span<Mixture* const> mixtures, const at::Tensor& w);
  void flush_routers(std::span<Mixture* const> mixtures);
  void report_mixed(std::span<Mixture* const> mixtures);
  void report_skills(std::span<Mixture* const> mixtures, const at::Tensor& w);
  // The skill-space gradient of a place inside a watched flat tensor.
  StackedGrad watched_views(const Place& place, std::map<int, at::Tensor>& watched, int task) const;

  PolySpec spec_;
  RoutingSchedule schedule_;
  at::ScalarType dtype_;
  ParameterLayout frozen_layout_;
  at::Tensor frozen_;
  std::vector<Place> places_;
  std::vector<int> place_of_site_;  // by Site::index; -1: not adapted
  std::vector<Router> routers_;
  int64_t mixed_size_ = 0, step_ = 0;
  double kept_ = 1;
  Sampling sampling_now_ = Sampling::none;

  std::map<int64_t, Mixture> mixtures_;  // of this step, by task, or by sample
  std::vector<Mixture*> active_;         // of this micro-batch: members of its segments
  std::vector<Segment> segments_, even_segments_;
  std::vector<Segment> task_segments_, even_task_segments_;  // as the rows have them
  at::Tensor weights_, d_weights_;                           // [R, M, h, K] of the active, and their gradient
  bool stacked_ = false;    // this micro-batch multiplies by all skills, then weighs
  at::Tensor row_mixture_;  // [T] which of the active; where stacked
  WatchedGradients* watched_ = nullptr;
};

}  // namespace gaggle
