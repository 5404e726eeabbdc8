// Trainable LoRA experts: per site lora_A [r, d_in] and lora_B [d_out, r], y += scale · B A x. Gates: gate.h.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "adapter/trainable.h"
#include "kernel/segmented_lowrank.h"

namespace gaggle {

// A low-rank pair on one site of the base.
struct LoraSite {
  Site site;
  int64_t rank = 0;
  double scale = 1;
};

// Of all linears: what PEFT's target_modules are chosen against.
std::vector<std::string> site_names(const std::vector<Site>& sites);

// Whether one of the module name endings ("q_proj", "self_attn.q_proj") is `name`'s.
bool names_module(const std::vector<std::string>& endings, const std::string& name);

// lora.targets: module name endings ("q_proj", "self_attn.q_proj"), or "all-linear", or nothing (all linears).
// Throws UserError for an ending that matches no site, with the nearest one.
std::vector<LoraSite> lora_sites(const std::vector<Site>& sites, const std::vector<std::string>& targets, int64_t rank,
                                 double alpha);

// "<site>.lora_A" [r, d_in] and "<site>.lora_B" [d_out, r].
ParameterLayout lora_layout(std::span<const LoraSite> sites);

// A ~ N(0, std²) keyed by (seed, site) alone, so that all tasks start alike; B = 0. [layout.size()] fp32.
at::Tensor initial_lora(std::span<const LoraSite> sites, uint64_t seed, double std);

// Low-rank pairs on sites, each multiplied with the tokens of its member's segments, and where their gradients go.
struct PairsOfSite {
  std::vector<LowRank> pairs;      // by member; empty: not adapted
  std::vector<LowRankGrad> grads;  // likewise
};
struct SitePairs {
  std::vector<PairsOfSite> sites;  // by Site::index
  BySide<std::vector<Segment>> segments = {};

  PairsOfSite& operator[](const Site& site) { return sites[static_cast<size_t>(site.index)]; }
  void begin(const Microbatch& batch) { segments = {batch.decoder.segments, batch.encoder.segments}; }
  void forward(const Site& site, const at::Tensor& x, at::Tensor& y) const;
  void backward(const Site& site, const at::Tensor& x, const at::Tensor& dy, at::Tensor& dx) const;
};

// What LoRA and gates in training share.
class PairAdapter : public Trainable {
 public:
  void begin(const Microbatch& batch) override { on_sites_.begin(batch); }
  void forward(const Site& site, const at::Tensor& x, at::Tensor& y) override { on_sites_.forward(site, x, y); }
  void backward(const Site& site, const at::Tensor& x, const at::Tensor& dy, at::Tensor& dx) override {
    on_sites_.backward(site, x, dy, dx);
  }
  const SitePairs& on_sites() const { return on_sites_; }

 protected:
  explicit PairAdapter(std::vector<LoraSite> sites);

  std::vector<LoraSite> sites_;
  SitePairs on_sites_;
};

// Experts under training: LoRA trains, no gate. Member m of the segments is the m-th copy of the parameters
// (named "<m>/<site>.lora_A" where there are several).
class LoraAdapter : public PairAdapter {
 public:
  LoraAdapter(std::vector<LoraSite> sites, const std::vector<at::Tensor>& members, at::ScalarType dtype,
              at::Device device);
  void refresh() override;
  void set_gradients(const at::Tensor& flat) override;

 private:
  std::string prefix(size_t member) const;

  size_t members_;
  at::ScalarType dtype_;
};

}  // namespace gaggle
