// The simplest adapter there is, for gradient checks: y += x Cᵀ with a full matrix C [d_out, d_in] per site.
#pragma once

#include <map>

#include "model/base_model.h"

namespace gaggle::probe {

struct MatrixAdapter final : SiteAdapter {
  std::map<std::string, at::Tensor> matrices, gradients;  // by site name, fp32 or fp64

  void begin(const Microbatch&) override {}
  void forward(const Site& site, const at::Tensor& x, at::Tensor& y) override {
    if (const auto c = matrices.find(site.name); c != matrices.end())
      y.add_(at::mm(x, c->second.to(x.scalar_type()).t()));
  }
  void backward(const Site& site, const at::Tensor& x, const at::Tensor& dy, at::Tensor& dx) override {
    const auto c = matrices.find(site.name);
    if (c == matrices.end()) return;
    const auto type = c->second.scalar_type();
    at::Tensor& gradient = gradients[site.name];
    const at::Tensor product = at::mm(dy.to(type).t(), x.to(type));
    gradient = gradient.defined() ? gradient + product : product;
    if (dx.defined()) dx.add_(at::mm(dy, c->second.to(x.scalar_type())));
  }
};

}  // namespace gaggle::probe
