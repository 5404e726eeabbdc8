// (IA)³ (Liu et al., arXiv 2205.05638) in training, alone or as skills of a Poly inventory (PolySpec with
// SkillKind::rescaling): y ∘ l at a site, or W (x ∘ l) where the site reads the feed-forward's activations
// (Site::reads_activation); block q of a task's l is Σ_k w_qk l_qk. One skill with uniform routing is (IA)³.
#pragma once

#include "adapter/skill_adapter.h"

namespace gaggle {

// Where it sits: on the linears that lora.targets names, or on those that the base marks (Site::rescaled).
std::vector<LoraSite> ia3_sites(const std::vector<Site>& sites, const std::vector<std::string>& targets);

int64_t rescaled_width(const Site& site);  // d_in or d_out
// x ∘ l in x's type, multiplied in l's; l [T, width] or one row of it.
at::Tensor rescaled(const at::Tensor& x, const at::Tensor& l);

class Ia3Adapter : public SkillAdapter {
 public:
  // `values`: [poly_layout(spec).size()].
  Ia3Adapter(PolySpec spec, const at::Tensor& values, RoutingSchedule schedule, at::Device device);

  void refresh() override {}  // everything is mixed again with every micro-batch: it is little
  void set_gradients(const at::Tensor& flat) override;
  void finish_gradients() override;
  void begin(const Microbatch& batch) override;
  at::Tensor rescaled_input(const Site& site, const at::Tensor& x) override;
  void forward(const Site& site, const at::Tensor& x, at::Tensor& y) override;
  at::Tensor rescaled_gradient(const Site& site, const at::Tensor& dy) override;
  void backward(const Site& site, const at::Tensor& x, const at::Tensor& dy, at::Tensor& dx) override;

 private:
  struct RescaledSite {
    Site site;
    int64_t router = 0;
    at::Tensor skills, gradient;  // [h, K, width/h] fp32; undefined: not wanted
    // Of this micro-batch with M members: their vectors [M, width] fp32, and the gradients of these (undefined:
    // no backward pass yet; even_d_l: of even samples alone, where watched).
    at::Tensor l, d_l, even_d_l;
    at::Tensor output;  // [T, d_out] before l, kept for the backward pass; where l rescales the input, undefined
  };
  RescaledSite* rescaled_site(const Site& site);
  // l by token: [T, width], or [1, width] where all tokens have the same.
  at::Tensor by_token(const RescaledSite& entry) const;
  void report(const RescaledSite& entry, const at::Tensor& d_l, bool even);

  std::vector<RescaledSite> rescaled_sites_;
  bool wanted_ = false;           // gradients
  bool takes_gradients_ = false;  // of this micro-batch: they are wanted, or watched
  std::vector<Members::Member> members_;
  std::vector<MixingWeights> routing_;  // by member
  at::Tensor weights_;                  // [R, M, h, K]
  struct TokenMembers {
    at::Tensor by_token;  // [T] int64
    // [M, T] fp32: 1 where the token is the member's; and where it is of an even sample too (undefined: not watched).
    at::Tensor indicator, even;
  };
  BySide<TokenMembers> token_members_;
};

}  // namespace gaggle
