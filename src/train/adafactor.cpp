#include "train/adafactor.h"

#include <cmath>

#include "base/error.h"

namespace gaggle {
namespace {

int64_t factored_rows(at::IntArrayRef shape) { return c10::multiply_integers(shape.slice(0, shape.size() - 1)); }

at::Tensor rms(const at::Tensor& x) { return x.norm().div_(std::sqrt(static_cast<double>(x.numel()))); }

// gradient / √(its second moments), which take the gradient in first.
at::Tensor scaled_gradient(const at::Tensor& gradient, at::Tensor state, double keep, double eps) {
  const at::Tensor square = gradient.square().add_(eps);
  const at::IntArrayRef shape = gradient.sizes();
  if (shape.size() < 2) {
    at::Tensor moments = state.view(shape);
    moments.mul_(keep).add_(square, 1 - keep);
    return moments.rsqrt().mul_(gradient);
  }
  const int64_t rows = factored_rows(shape);
  at::Tensor row = state.narrow(0, 0, rows).view(shape.slice(0, shape.size() - 1));
  const at::Tensor column_means = square.mean(-2);
  at::Tensor column = state.narrow(0, rows, state.numel() - rows).view(column_means.sizes());
  row.mul_(keep).add_(square.mean(-1), 1 - keep);
  column.mul_(keep).add_(column_means, 1 - keep);
  const at::Tensor by_row = row.div(row.mean(-1, true)).rsqrt_().unsqueeze(-1);
  return by_row.mul(column.unsqueeze(-2).rsqrt()).mul_(gradient);
}

}  // namespace

int64_t adafactor_state_size(at::IntArrayRef shape) {
  const int64_t count = c10::multiply_integers(shape);
  if (shape.size() < 2 || count == 0) return count;
  return factored_rows(shape) + count / shape[shape.size() - 2];
}

void adafactor_update(at::Tensor values, const at::Tensor& gradient, at::Tensor state, int64_t update, double lr,
                      double weight_decay, const AdafactorSettings& s) {
  GAGGLE_CHECK(values.sizes() == gradient.sizes() && state.numel() == adafactor_state_size(values.sizes()));
  if (values.numel() == 0) return;
  const double keep = 1 - std::pow(static_cast<double>(update), s.decay_rate);
  // Rates and norms stay on the tensor's device: nothing here waits for it.
  const at::Tensor rate =
      s.scale_parameter ? rms(values).clamp_min_(s.eps_scale).mul_(lr) : at::full({}, lr, values.options());
  at::Tensor step = scaled_gradient(gradient, state, keep, s.eps_square);
  step.div_(rms(step).div_(s.clip_threshold).clamp_min_(1)).mul_(rate);
  if (weight_decay != 0) values.addcmul_(values, rate, -weight_decay);
  values.sub_(step);
}

}  // namespace gaggle
