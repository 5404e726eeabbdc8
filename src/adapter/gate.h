// Gate training (PHATGOOSE, arXiv 2402.05859): y += σ(v·x + b) · scale · B A x with the LoRA and b frozen; only
// v trains.
#pragma once

#include "adapter/lora.h"

namespace gaggle {

// "<site>.gate" [d_in].
ParameterLayout gate_layout(std::span<const LoraSite> sites);

// One frozen expert with its gates, v = 0 at the start (g = σ(b), a half of b = 0). `lora` is flat, in lora_layout's
// order.
class GateAdapter : public PairAdapter {
 public:
  GateAdapter(std::vector<LoraSite> sites, const at::Tensor& lora, at::ScalarType dtype, at::Device device,
              double bias = 0);
  void refresh() override;
  void set_gradients(const at::Tensor& flat) override;
  void begin(const Microbatch& batch) override;
};

}  // namespace gaggle
