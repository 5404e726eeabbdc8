// What the adapters of an inventory in training share, whatever a skill is: tensors that train and tensors that
// do not, whose tokens a micro-batch has, and the routing of tasks or samples in a step.
#pragma once

#include <memory>

#include "adapter/poly.h"
#include "kernel/skill_products.h"

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

// Whom a micro-batch's tokens belong to: tasks, or samples where every example has its own mixture.
struct Members {
  struct Member {
    int task = 0;
    int64_t sample = 0;  // 0 where members are tasks
  };
  std::vector<Member> all;
  BySide<std::vector<Segment>> segments;  // members count `all`
};

// Of a site, in a WatchedGradient: values of A and B (of l: none of B) in each head.
struct WatchedSizes {
  int64_t a = 0, b = 0;
};

class SkillAdapter : public Trainable {
 public:
  const PolySpec& spec() const { return spec_; }
  // Trained and frozen tensors, in poly_layout's order.
  at::Tensor all_values() const;
  // In this step: samples are drawn per example.
  bool per_example() const { return sampling_now_ == Sampling::example; }
  // In some step of its schedule.
  bool samples_per_example() const {
    return spec_.routing == Routing::learned && schedule_.sampling == Sampling::example;
  }

  void set_gradients(const at::Tensor& flat) override;
  void begin_step(int64_t step) override;
  void begin_evaluation() override;

  // From here on gradients go to `sink` too; empty: no more. Nothing that is trained changes by it.
  void watch(GradientWatch::Sink sink) { watch_.halves = std::move(sink); }
  // In place of set_gradients, until that is called: the skills' gradients go to `sink` alone, by task, and those of the
  // routing tables that `layout` names to their places in `flat`.
  void set_gradients_by_task(const at::Tensor& flat, const ParameterLayout& layout, GradientWatch::Sink sink);
  WatchedSizes watched_sizes(const LoraSite& site) const;
  // Mixing weights of tasks in this step, for each of PolySpec::sites [T, h, K];
  // empty where every example has its own.
  std::vector<at::Tensor> routing_of(std::span<const int> tasks) const;
  // Seconds that watching has cost so far, and keeping tasks apart while nobody watched; the sinks' own are among them.
  double watching_seconds() const { return watch_.halves_seconds; }
  double by_task_seconds() const { return watch_.whole_seconds; }

 protected:
  // `values`: [poly_layout(spec).size()].
  SkillAdapter(PolySpec spec, const at::Tensor& values, RoutingSchedule schedule, at::Device device);
  at::Tensor tensor(const std::string& name) const;
  // The named tensor's part of a flat gradient; undefined: not wanted.
  at::Tensor gradient_of(const at::Tensor& flat, const std::string& name) const;
  // The number of a site in PolySpec::sites; -1: not adapted.
  int number_of(const Site& site) const;
  Members members_of(const Microbatch& batch) const;
  MixingWeights draw_weights(int task, int64_t sample) const;                                // by router, [R, h, K]
  void add_routing_gradient(int task, const MixingWeights& weights, const at::Tensor& d_w);  // [R, h, K]

  PolySpec spec_;
  GradientWatch watch_;
  std::vector<int64_t> router_of_;  // by number in PolySpec::sites: which router of MixingWeights a site follows

 private:
  struct Router {
    std::string prefix, name;     // of its sites; of its tensor
    at::Tensor logits, gradient;  // [tasks, h·K]; undefined: fixed routing, not wanted
  };

  RoutingSchedule schedule_;
  ParameterLayout frozen_layout_;
  at::Tensor frozen_;
  std::vector<Router> routers_;
  std::vector<int> number_of_site_;  // by Site::index
  int64_t step_ = 0;
  double kept_ = 1;
  Sampling sampling_now_ = Sampling::none;
};

// PolyAdapter or Ia3Adapter, as spec.skill says; `dtype`: of the activations.
std::unique_ptr<SkillAdapter> make_skill_adapter(const PolySpec& spec, const at::Tensor& values,
                                                 const RoutingSchedule& schedule, at::ScalarType dtype,
                                                 at::Device device);

}  // namespace gaggle
