#include "model/site.h"

#include "base/error.h"

namespace gaggle {

at::Tensor AdaptedLinear::forward(const at::Tensor& x, SiteAdapter* adapter) const {
  if (!adapter) return linear.forward(x);
  at::Tensor y = linear.forward(adapter->rescaled_input(site, x));
  adapter->forward(site, x, y);
  return y;
}

at::Tensor AdaptedLinear::dx(const at::Tensor& x, const at::Tensor& dy, SiteAdapter& adapter) const {
  return joint_dx(x, {{*this, dy}}, adapter);
}

at::Tensor joint_dx(const at::Tensor& x, std::initializer_list<OutputGradient> outputs, SiteAdapter& adapter) {
  at::Tensor dx;
  for (const auto& [adapted, dy] : outputs) {
    dx = adapted.linear.dx(adapter.rescaled_gradient(adapted.site, dy), dx);
    adapter.backward(adapted.site, x, dy, dx);
  }
  return dx;
}

void parameters_backward(const at::Tensor& x, std::initializer_list<OutputGradient> outputs, SiteAdapter& adapter) {
  at::Tensor not_wanted;
  for (const auto& [adapted, dy] : outputs) {
    GAGGLE_CHECK(!adapted.site.reads_activation);
    adapter.backward(adapted.site, x, dy, not_wanted);
  }
}

}  // namespace gaggle
