// Poly / MHR in training: every task of a micro-batch (every example, where samples are drawn per example) gets
// its mixture of the skills; gradients come back to skills and routing table at the end of each lane.
#pragma once

#include "adapter/skill_adapter.h"

namespace gaggle {

class PolyAdapter : public SkillAdapter {
 public:
  // `values`: [poly_layout(spec).size()]; `dtype`: of the activations.
  PolyAdapter(PolySpec spec, const at::Tensor& values, RoutingSchedule schedule, at::ScalarType dtype,
              at::Device device);

  void refresh() override;
  void set_gradients(const at::Tensor& flat) override;
  void finish_gradients() override;
  void begin(const Microbatch& batch) override;
  void forward(const Site& site, const at::Tensor& x, at::Tensor& y) override;
  void backward(const Site& site, const at::Tensor& x, const at::Tensor& dy, at::Tensor& dx) override;

 private:
  std::vector<SkillSite> skill_sites() const;
  void make_room();

  SkillProducts products_;                    // its sites are PolySpec::sites
  std::map<int64_t, SkillMixture> mixtures_;  // of this step, by task, or by sample
  std::vector<SkillMixture*> active_;         // of this micro-batch: members of its segments
};

}  // namespace gaggle
