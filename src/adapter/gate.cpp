#include "adapter/gate.h"

#include "base/error.h"

namespace gaggle {

ParameterLayout gate_layout(std::span<const LoraSite> sites) {
  std::vector<ParameterInfo> tensors;
  for (const LoraSite& s : sites) tensors.push_back({s.site.name + ".gate", {s.site.d_in}});
  return ParameterLayout(std::move(tensors));
}

GateAdapter::GateAdapter(std::vector<LoraSite> sites, const at::Tensor& lora, at::ScalarType dtype,
                         at::Device device)
    : sites_(std::move(sites)) {
  layout_ = gate_layout(sites_);
  values_ = at::zeros({layout_.size()}, at::TensorOptions().dtype(at::kFloat).device(device));
  const ParameterLayout frozen = lora_layout(sites_);
  const at::Tensor used = lora.to(device, dtype);
  for (const LoraSite& s : sites_) {
    const auto index = static_cast<size_t>(s.site.index);
    if (pairs_.size() <= index) pairs_.resize(index + 1);
    pairs_[index] = {frozen.view(used, s.site.name + ".lora_A"), frozen.view(used, s.site.name + ".lora_B"),
                     s.scale, layout_.view(values_, s.site.name + ".gate")};
  }
  grads_.resize(pairs_.size());
}

void GateAdapter::set_gradients(const at::Tensor& flat) {
  for (const LoraSite& s : sites_)
    grads_[static_cast<size_t>(s.site.index)].gate =
        flat.defined() ? layout_.view(flat, s.site.name + ".gate") : at::Tensor();
}

void GateAdapter::begin(const Microbatch& batch) {
  segments_ = segments_by_side(batch);
  for (const Segment& segment : batch.decoder.segments)
    GAGGLE_CHECK(segment.member == 0, "gates train one expert at a time, not member {}", segment.member);
}

void GateAdapter::forward(const Site& site, const at::Tensor& x, at::Tensor& y) {
  const auto index = static_cast<size_t>(site.index);
  if (index < pairs_.size())
    segmented_lowrank_forward(x, y, segments_[site.side], std::span(&pairs_[index], 1));
}

void GateAdapter::backward(const Site& site, const at::Tensor& x, const at::Tensor& dy, at::Tensor& dx) {
  const auto index = static_cast<size_t>(site.index);
  if (index < pairs_.size())
    segmented_lowrank_backward(x, dy, dx, segments_[site.side], std::span(&pairs_[index], 1),
                               std::span(&grads_[index], 1));
}

}  // namespace gaggle
