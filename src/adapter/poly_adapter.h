// Poly / MHR in training: every task of a micro-batch (every example, where samples are drawn per example) gets
// its mixture of the skills; gradients come back to skills and routing table at the end of each lane.
#pragma once

#include "adapter/skill_adapter.h"
#include "kernel/joined_lowrank.h"
#include "kernel/stacked_skills.h"

namespace gaggle {

class PolyAdapter : public SkillAdapter {
 public:
  // `values`: [poly_layout(spec).size()].
  PolyAdapter(PolySpec spec, const at::Tensor& values, RoutingSchedule schedule, at::ScalarType dtype,
              at::Device device);

  void refresh() override;
  void set_gradients(const at::Tensor& flat) override;
  void finish_gradients() override;
  void begin(const Microbatch& batch) override;
  void forward(const Site& site, const at::Tensor& x, at::Tensor& y) override;
  void backward(const Site& site, const at::Tensor& x, const at::Tensor& dy, at::Tensor& dx) override;

 private:
  struct Place {  // what sits on a site
    LoraSite lora;
    at::Tensor a, b;            // skills [h, K, n], fp32
    at::Tensor grad_a, grad_b;  // likewise; undefined: not wanted
    size_t router = 0;
    int64_t at_a = 0, at_b = 0;  // in a mixture's flat gradient
    StackedSkills stacked;       // in the activations' type; made when first needed
    JoinedPairs joined;          // of this micro-batch's mixtures, where they are joined
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
  void activate_tasks(const Microbatch& batch);
  void activate_samples(const Microbatch& batch);
  void mix(std::span<Mixture* const> mixtures);
  void prepare_stacked();
  void join();
  LowRankGrad gradient_views(const Place& place, at::Tensor& flat) const;
  void backward_joined(const Place& place, const at::Tensor& x, const at::Tensor& dy, at::Tensor dx, bool even);
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
  int64_t mixed_size_ = 0;

  std::map<int64_t, Mixture> mixtures_;  // of this step, by task, or by sample
  std::vector<Mixture*> active_;         // of this micro-batch: members of its segments
  struct RowMixtures {                   // whose rows they are
    std::vector<Segment> segments, even_segments;
    std::vector<Segment> task_segments, even_task_segments;  // as the rows have them
    int64_t count = 0;
    // Few rows of several tasks: the pairs are joined; by rank what is not a row's own,
    // or not of its even samples.
    std::map<int64_t, at::Tensor> foreign, not_even;
    at::Tensor mixture;  // [T], where the micro-batch is stacked
  };
  BySide<RowMixtures> rows_;
  // This micro-batch multiplies by all skills, then weighs: by the active mixtures' weights and their gradient
  // [R, M, h, K], row by row.
  bool stacked_ = false;
  at::Tensor weights_, d_weights_;
};

}  // namespace gaggle
