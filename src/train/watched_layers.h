// An adapter in a pass, of which one hears when its gradients of a layer are complete.
#pragma once

#include <algorithm>
#include <functional>
#include <vector>

#include "model/site.h"

namespace gaggle {

// Passes everything on. In the backward pass of one micro-batch `left` is called with each layer once all its sites have
// had theirs, the highest first and none left out: a layer waits for those above it.
class WatchedLayers : public SiteAdapter {
 public:
  WatchedLayers(SiteAdapter& adapter, const std::vector<Site>& sites, std::function<void(int layer)> left)
      : adapter_(adapter), left_(std::move(left)) {
    for (const Site& site : sites) {
      awaited_.resize(std::max(awaited_.size(), static_cast<size_t>(site.layer) + 1));
      ++awaited_[static_cast<size_t>(site.layer)];
    }
  }
  void begin(const Microbatch& batch) override { adapter_.begin(batch); }
  at::Tensor rescaled_input(const Site& site, const at::Tensor& x) override { return adapter_.rescaled_input(site, x); }
  void forward(const Site& site, const at::Tensor& x, at::Tensor& y) override { adapter_.forward(site, x, y); }
  at::Tensor rescaled_gradient(const Site& site, const at::Tensor& dy) override {
    return adapter_.rescaled_gradient(site, dy);
  }
  void backward(const Site& site, const at::Tensor& x, const at::Tensor& dy, at::Tensor& dx) override {
    adapter_.backward(site, x, dy, dx);
    --awaited_[static_cast<size_t>(site.layer)];
    for (; !awaited_.empty() && awaited_.back() == 0; awaited_.pop_back()) left_(static_cast<int>(awaited_.size()) - 1);
  }

 private:
  SiteAdapter& adapter_;
  std::function<void(int layer)> left_;
  std::vector<int> awaited_;  // by layer: sites whose backward pass is still to come
};

}  // namespace gaggle
