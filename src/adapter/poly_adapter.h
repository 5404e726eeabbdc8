// Poly / MHR in training: every task of a micro-batch (every example, where samples are drawn per example) gets
// its mixture of the skills; gradients come back to skills and routing table at the end of each lane.
#pragma once

#include <functional>

#include "adapter/skill_adapter.h"
#include "kernel/stacked_skills.h"

namespace gaggle {

// What gradient alignment sees of a lane: a task's gradient at one site with respect to its mixed adapter, A
// [h, d_in/h, r] then B [h, r, d_out/h]; with samples per example with respect to the skills, A [h, K, d_in/h,
// r] then B [h, K, r, d_out/h]. Contributions add up over lanes, and with samples per example within a lane.
struct WatchedGradient {
  int task = 0;
  bool even = false;    // of the task's samples of even occurrence in the batch alone; else of all
  size_t site = 0;      // place in watched_sites()
  at::Tensor gradient;  // flat, fp32
};
using GradientSink = std::function<void(const WatchedGradient&)>;

// Of a site, in a WatchedGradient.
struct WatchedSite {
  Site site;
  int64_t a_size = 0, b_size = 0;  // values of A and B in each head
};

class PolyAdapter : public SkillAdapter {
 public:
  // `values`: [poly_layout(spec).size()].
  PolyAdapter(PolySpec spec, const at::Tensor& values, RoutingSchedule schedule, at::ScalarType dtype,
              at::Device device);

  void refresh() override;
  void set_gradients(const at::Tensor& flat) override;
  void finish_gradients() override;
  void begin(const Rows& rows) override;
  void forward(const Site& site, const at::Tensor& x, at::Tensor& y) override;
  void backward(const Site& site, const at::Tensor& x, const at::Tensor& dy, at::Tensor& dx) override;

  // From here on gradients go to `sink` too; empty: no more. Nothing that is trained changes by it.
  void watch(GradientSink sink) { watched_ = std::move(sink); }
  std::vector<WatchedSite> watched_sites() const;
  // Mixing weights of tasks in this step, for each of the watched sites [T, h, K]; empty where every example
  // has its own.
  std::vector<at::Tensor> routing_of(std::span<const int> tasks);
  // Seconds that watching has cost so far, the sink's own among them.
  double watching_seconds() const { return watching_seconds_; }

 private:
  struct Place {  // what sits on a site
    LoraSite lora;
    at::Tensor a, b;            // skills [h, K, n], fp32
    at::Tensor grad_a, grad_b;  // likewise; undefined: not wanted
    size_t router = 0;
    int64_t at_a = 0, at_b = 0;  // in a mixture's flat gradient
    StackedSkills stacked;       // in the activations' type; made when first needed
  };
  struct Mixture {
    int task = 0;
    MixingWeights weights;       // by router, [R, h, K]
    std::vector<LowRank> pairs;  // by place; empty: not mixed
    at::Tensor gradient, even;   // flat: per place A [d_in, r], B [r, d_out]; of all samples, of even ones
    bool of_even_sample = false;
    bool touched = false;  // by a backward pass since gradients were last finished
  };

  Mixture& mixture(int task, int64_t sample);
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
  void report_stacked(const Place& place, const at::Tensor& x, const at::Tensor& dy, const at::Tensor& w);

  at::ScalarType dtype_;
  std::vector<Place> places_;
  std::vector<int> place_of_site_;  // by Site::index; -1: not adapted
  int64_t mixed_size_ = 0;

  std::map<int64_t, Mixture> mixtures_;  // of this step, by task, or by sample
  std::vector<Mixture*> active_;         // of this micro-batch: members of its segments
  std::vector<Segment> segments_, even_segments_;
  std::vector<Segment> task_segments_, even_task_segments_;  // as the rows have them
  at::Tensor weights_, d_weights_;                           // [R, M, h, K] of the active, and their gradient
  bool stacked_ = false;    // this micro-batch multiplies by all skills, then weighs
  at::Tensor row_mixture_;  // [T] which of the active; where stacked
  GradientSink watched_;
  double watching_seconds_ = 0;
};

}  // namespace gaggle
