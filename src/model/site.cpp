#include "model/site.h"

namespace gaggle {

at::Tensor AdaptedLinear::forward(const at::Tensor& x, SiteAdapter* adapter) const {
  if (!adapter) return linear.forward(x);
  at::Tensor y = linear.forward(adapter->rescaled_input(site, x));
  adapter->forward(site, x, y);
  return y;
}

at::Tensor AdaptedLinear::dx(const at::Tensor& x, const at::Tensor& dy, SiteAdapter& adapter) const {
  at::Tensor dx = linear.dx(adapter.rescaled_gradient(site, dy));
  adapter.backward(site, x, dy, dx);
  return dx;
}

void AdaptedLinear::add_dx(const at::Tensor& x, const at::Tensor& dy, at::Tensor& dx,
                           SiteAdapter& adapter) const {
  dx = linear.add_dx(adapter.rescaled_gradient(site, dy), dx);
  adapter.backward(site, x, dy, dx);
}

at::Tensor joint_dx(const at::Tensor& x, std::initializer_list<OutputGradient> outputs, SiteAdapter& adapter) {
  at::Tensor dx;
  for (const OutputGradient& output : outputs)
    if (dx.defined())
      output.linear.add_dx(x, output.dy, dx, adapter);
    else
      dx = output.linear.dx(x, output.dy, adapter);
  return dx;
}

}  // namespace gaggle
