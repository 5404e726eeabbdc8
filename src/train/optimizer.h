// AdamW (Loshchilov and Hutter, arXiv 1711.05101) and Adafactor over the tensors that a rank owns, and the
// norms that clipping needs.
#pragma once

#include <ATen/ATen.h>

#include <string>
#include <vector>

#include "adapter/parameters.h"
#include "train/adafactor.h"

namespace gaggle {

struct AdamWSettings {
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
};

// What holds for one tensor beside the step's rate.
struct TensorRule {
  double rate = 1;  // times the step's learning rate
  double weight_decay = 0;
  bool operator==(const TensorRule&) const = default;
};

enum class OptimizerKind { adamw, adafactor };
OptimizerKind optimizer_named(const std::string& word);  // train.optimizer
const char* name_of(OptimizerKind kind);

struct OptimizerSettings {
  OptimizerKind kind = OptimizerKind::adamw;
  AdamWSettings adamw;
  AdafactorSettings adafactor;
  double weight_decay = 0;  // never of a routing table
  double router_rate = 1;   // of routing tables, relative to the step's learning rate
  TensorRule rule_of(const ParameterInfo& tensor) const;
};

// The optimiser's state for these tensors, by name: "m/…" and "v/…" of AdamW, "factors/…" of Adafactor.
ParameterLayout state_layout(const OptimizerSettings& settings, const std::vector<ParameterInfo>& tensors);
// The tensor that a piece of state belongs to.
std::string state_owner(const std::string& state_name);

class Optimizer {
 public:
  // For these tensors, whose values lie one after the other in the compact tensors of update().
  Optimizer(OptimizerSettings settings, std::vector<ParameterInfo> tensors, at::TensorOptions options);
  // The `update`-th update (1, 2, …). values and gradient: fp32, flat, of all tensors; values change in place.
  void update(const at::Tensor& values, const at::Tensor& gradient, int64_t update, double lr);
  at::Tensor& state() { return state_; }  // flat, in state_layout's order

 private:
  struct Run {  // neighbouring tensors under one rule
    int64_t offset = 0, count = 0;
    TensorRule rule;
  };
  OptimizerSettings settings_;
  std::vector<ParameterInfo> tensors_;  // offset: in the compact tensors
  std::vector<Run> runs_;
  ParameterLayout layout_;
  at::Tensor state_;
};

// The `update`-th update of `values`, with decoupled decay. All flat fp32 of one size, changed in place:
// values, m, v.
void adamw_update(at::Tensor values, const at::Tensor& gradient, at::Tensor m, at::Tensor v, int64_t update, double lr,
                  double weight_decay, const AdamWSettings& settings);

// What to multiply gradients with: min(1, clip / (norm + 1e-6)); 1 for clip = 0.
double clip_factor(double norm, double clip);

}  // namespace gaggle
