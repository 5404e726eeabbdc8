// The sites of a base, what may sit on them, and a linear with what sits on it.
#pragma once

#include <initializer_list>
#include <string>

#include "base/microbatch.h"
#include "model/frozen_linear.h"

namespace gaggle {

// One adapted linear of the base.
struct Site {
  int index = 0;     // in BaseModel::sites()
  std::string name;  // "model.layers.0.self_attn.q_proj"
  std::string kind;  // "q_proj"
  int layer = 0;     // an encoder's layers count first
  int64_t d_in = 0, d_out = 0;
  Side side = Side::decoder;      // whose tokens it reads
  bool reads_activation = false;  // the last linear of a feed-forward block: no other site reads its input
  bool rescaled = false;          // (IA)³ sits here unless the recipe says otherwise
};

// What sits on the sites of a base. x [T, d_in], y [T, d_out] and their gradients dx and dy have the base's
// activation type; a dx that is undefined is not wanted. Within one pass all sites of a side see the same tokens in the
// same order, those of Microbatch::side(site.side). A site computes
//   x' = rescaled_input(x),  y' = W x' + b,  y = forward(y'), in place,
// and its backward pass, from dy,
//   dy' = rescaled_gradient(dy),  dx = backward(Wᵀ dy'), in place; gradients of parameters go to the adapter.
// A low-rank pair adds: y = y' + s B A x and dx = Wᵀ dy + s Aᵀ Bᵀ dy, with x' = x and dy' = dy.
// (IA)³ rescales by a vector l. Where a site reads activations: x' = l ∘ x, y = y', dy' = dy, dx = l ∘ (Wᵀ dy)
// and dl = Σ_t x ∘ (Wᵀ dy). Elsewhere: x' = x, y = l ∘ y', dy' = l ∘ dy, dx = Wᵀ dy' and dl = Σ_t y' ∘ dy.
class SiteAdapter {
 public:
  virtual ~SiteAdapter() = default;
  virtual void begin(const Microbatch& batch) = 0;  // before a pass over it
  virtual at::Tensor rescaled_input(const Site&, const at::Tensor& x) { return x; }
  virtual void forward(const Site& site, const at::Tensor& x, at::Tensor& y) = 0;
  virtual at::Tensor rescaled_gradient(const Site&, const at::Tensor& dy) { return dy; }
  virtual void backward(const Site& site, const at::Tensor& x, const at::Tensor& dy, at::Tensor& dx) = 0;
};

struct AdaptedLinear {
  FrozenLinear linear;
  Site site;

  // adapter may be null.
  at::Tensor forward(const at::Tensor& x, SiteAdapter* adapter) const;
  at::Tensor dx(const at::Tensor& x, const at::Tensor& dy, SiteAdapter& adapter) const;
};

// The gradient of an x that several linears read, from that of each one's output; added up in this order.
struct OutputGradient {
  const AdaptedLinear& linear;
  const at::Tensor& dy;
};
at::Tensor joint_dx(const at::Tensor& x, std::initializer_list<OutputGradient> outputs, SiteAdapter& adapter);
// Gradients of the adapter's parameters alone: for the x of a first layer, below which nothing trains. None of the
// linears reads an activation.
void parameters_backward(const at::Tensor& x, std::initializer_list<OutputGradient> outputs, SiteAdapter& adapter);

}  // namespace gaggle
