#include "adapter/gate.h"

#include "base/error.h"

namespace gaggle {

ParameterLayout gate_layout(std::span<const LoraSite> sites) {
  std::vector<ParameterInfo> tensors;
  for (const LoraSite& s : sites) tensors.push_back({s.site.name + ".gate", {s.site.d_in}});
  return ParameterLayout(std::move(tensors));
}

GateAdapter::GateAdapter(std::vector<LoraSite> sites, const at::Tensor& lora, at::ScalarType dtype, at::Device device,
                         double bias)
    : PairAdapter(std::move(sites)) {
  layout_ = gate_layout(sites_);
  values_ = at::zeros({layout_.size()}, at::TensorOptions().dtype(at::kFloat).device(device));
  const ParameterLayout frozen = lora_layout(sites_);
  const at::Tensor used = lora.to(device, dtype);
  for (const LoraSite& s : sites_) {
    const at::Tensor a = frozen.view(used, s.site.name + ".lora_A");
    // Products on a GPU want rows that begin at multiples of 16 bytes.
    const int64_t r = a.size(0), width = device.is_cpu() ? r + 1 : (r + 8) / 8 * 8;
    const at::Tensor both = at::zeros({width, a.size(1)}, a.options());
    both.narrow(0, 0, r).copy_(a);
    on_sites_[s.site].pairs = {{both.narrow(0, 0, r), frozen.view(used, s.site.name + ".lora_B"), s.scale,
                                layout_.view(values_, s.site.name + ".gate"), both, bias}};
    on_sites_[s.site].grads.resize(1);
  }
}

void GateAdapter::refresh() {
  for (const LoraSite& s : sites_) {
    const LowRank& pair = on_sites_[s.site].pairs[0];
    pair.a_and_gate[pair.a.size(0)].copy_(pair.gate);
  }
}

void GateAdapter::set_gradients(const at::Tensor& flat) {
  for (const LoraSite& s : sites_)
    on_sites_[s.site].grads[0].gate = flat.defined() ? layout_.view(flat, s.site.name + ".gate") : at::Tensor();
}

void GateAdapter::begin(const Microbatch& batch) {
  PairAdapter::begin(batch);
  for (const Segment& segment : batch.decoder.segments)
    GAGGLE_CHECK(segment.member == 0, "gates train one expert at a time, not member {}", segment.member);
}

}  // namespace gaggle
