// The sites of a base, what may sit on them, and a linear with what sits on it.
#pragma once

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
  Side side = Side::decoder;      // whose rows it is fed
  bool reads_activation = false;  // the feed-forward's last: its input is read by no other site
  bool rescaled = false;          // (IA)³ sits here unless the recipe says otherwise
};

// What sits on the sites. forward: y [T, d_out] += …; backward: dx [T, d_in] += …, and its own gradients.
// x, y, dy, dx have the base's activation dtype. All sites of one pass and side see the same rows in the same
// order, those of Microbatch::of(side). (IA)³ rescales instead, in place: forward y, whose gradient before that
// is rescaled_gradient's; or, at a site that reads activations, rescaled_input takes x's place, and backward
// gets dx with respect to that.
class SiteAdapter {
 public:
  virtual ~SiteAdapter() = default;
  virtual void begin(const Microbatch& batch) = 0;
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
  void add_dx(const at::Tensor& x, const at::Tensor& dy, at::Tensor& dx, SiteAdapter& adapter) const;
};

}  // namespace gaggle
