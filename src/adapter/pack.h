// Several adapters of low-rank pairs in one pass over the base.
#pragma once

#include <span>
#include <vector>

#include "adapter/lora.h"

namespace gaggle {

// Member m of the segments is the m-th of these: its tokens meet its pairs alone, and its gradients go where it adds
// them. A site on which nothing of one sits is left as it is for its tokens.
class PackAdapter : public SiteAdapter {
 public:
  // The members stay the caller's.
  explicit PackAdapter(std::span<PairAdapter* const> members);
  // Before a pass, once the members' values and gradients are where they are to be.
  void gather();
  void begin(const Microbatch& batch) override { joined_.begin(batch); }
  void forward(const Site& site, const at::Tensor& x, at::Tensor& y) override { joined_.forward(site, x, y); }
  void backward(const Site& site, const at::Tensor& x, const at::Tensor& dy, at::Tensor& dx) override {
    joined_.backward(site, x, dy, dx);
  }

 private:
  std::vector<PairAdapter*> members_;
  SitePairs joined_;
};

}  // namespace gaggle
