#include "train/optimizer.h"

#include <algorithm>
#include <cmath>

#include "adapter/poly.h"
#include "base/error.h"

namespace gaggle {

OptimizerKind optimizer_named(const std::string& word) {
  return word == "adafactor" ? OptimizerKind::adafactor : OptimizerKind::adamw;
}

const char* name_of(OptimizerKind kind) { return kind == OptimizerKind::adafactor ? "adafactor" : "adamw"; }

TensorRule OptimizerSettings::rule_of(const ParameterInfo& tensor) const {
  return is_router(tensor) ? TensorRule{router_rate, 0} : TensorRule{1, weight_decay};
}

ParameterLayout state_layout(const OptimizerSettings& settings, const std::vector<ParameterInfo>& tensors) {
  std::vector<ParameterInfo> state;
  for (const ParameterInfo& tensor : tensors) {
    if (settings.kind == OptimizerKind::adafactor) {
      state.push_back({"factors/" + tensor.name, {adafactor_state_size(tensor.shape)}});
    } else {
      state.push_back({"m/" + tensor.name, tensor.shape});
      state.push_back({"v/" + tensor.name, tensor.shape});
    }
  }
  return ParameterLayout(std::move(state));
}

std::string state_owner(const std::string& state_name) { return state_name.substr(state_name.find('/') + 1); }

Optimizer::Optimizer(OptimizerSettings settings, std::vector<ParameterInfo> tensors, at::TensorOptions options)
    : settings_(std::move(settings)), tensors_(std::move(tensors)), layout_(state_layout(settings_, tensors_)) {
  int64_t at = 0;
  for (ParameterInfo& tensor : tensors_) {
    tensor.offset = at;
    at += tensor.count;
    const TensorRule rule = settings_.rule_of(tensor);
    if (!runs_.empty() && runs_.back().rule == rule)
      runs_.back().count += tensor.count;
    else
      runs_.push_back({tensor.offset, tensor.count, rule});
  }
  state_ = at::zeros({layout_.size()}, options);
}

void Optimizer::update(const at::Tensor& values, const at::Tensor& gradient, int64_t update, double lr) {
  if (settings_.kind == OptimizerKind::adafactor) {
    for (const ParameterInfo& tensor : tensors_) {
      const TensorRule rule = settings_.rule_of(tensor);
      const auto part = [&](const at::Tensor& flat) {
        return flat.narrow(0, tensor.offset, tensor.count).view(tensor.shape);
      };
      adafactor_update(part(values), part(gradient), layout_.view(state_, "factors/" + tensor.name), update,
                       lr * rule.rate, rule.weight_decay, settings_.adafactor);
    }
    return;
  }
  const at::Tensor m = state_.narrow(0, 0, values.numel()), v = state_.narrow(0, values.numel(), values.numel());
  for (const Run& run : runs_) {
    const auto part = [&](const at::Tensor& flat) { return flat.narrow(0, run.offset, run.count); };
    adamw_update(part(values), part(gradient), part(m), part(v), update, lr * run.rule.rate, run.rule.weight_decay,
                 settings_.adamw);
  }
}

void adamw_update(at::Tensor values, const at::Tensor& gradient, at::Tensor m, at::Tensor v, int64_t update, double lr,
                  double weight_decay, const AdamWSettings& s) {
  const double correction1 = 1 - std::pow(s.beta1, static_cast<double>(update));
  const double correction2 = 1 - std::pow(s.beta2, static_cast<double>(update));
  if (weight_decay != 0) values.mul_(1 - lr * weight_decay);
  m.lerp_(gradient, 1 - s.beta1);
  v.mul_(s.beta2).addcmul_(gradient, gradient, 1 - s.beta2);
  const at::Tensor denominator = v.sqrt().div_(std::sqrt(correction2)).add_(s.eps);
  values.addcdiv_(m, denominator, -lr / correction1);
}

double clip_factor(double norm, double clip) { return clip > 0 ? std::min(1.0, clip / (norm + 1e-6)) : 1; }

}  // namespace gaggle
