#include "workflow/expert_commit.h"

#include <nlohmann/json.hpp>

#include "adapter/gate.h"
#include "formats/peft.h"

namespace gaggle {
namespace {

using nlohmann::json;

std::vector<NamedTensor> gate_tensors(std::span<const LoraSite> sites, const at::Tensor& gate) {
  std::vector<NamedTensor> tensors;
  const ParameterLayout layout = gate_layout(sites);
  for (const ParameterInfo& info : layout.tensors()) {
    const at::Tensor v = layout.view(gate, info).contiguous();
    tensors.push_back(from_float(info.name, info.shape,
                                 {v.const_data_ptr<float>(), static_cast<size_t>(v.numel())}, DType::f32));
  }
  return tensors;
}

std::string sidecar(const ExpertItem& item, const BaseModel& base, const json& metrics) {
  json sidecar = {{"task", item.task->name},
                  {"base", base_json(base)},
                  {"recipe", item.recipe.json},
                  {"data", item.task->digest},
                  {"metrics", metrics}};
  if (!item.parent.empty()) sidecar["parents"] = {item.parent};
  return sidecar.dump();
}

}  // namespace

json base_json(const BaseModel& base) {
  return {{"name", base.spec().name}, {"shapes", base.shape_digest()}, {"content", base.content_digest()}};
}

DType stored_dtype(const std::string& text) {
  return text == "bf16" ? DType::bf16 : text == "fp16" ? DType::f16 : DType::f32;
}

std::string commit_expert(const ExpertJob& job, Registry& registry, const ExpertItem& item,
                          const ExpertResult& result) {
  const std::string about = sidecar(item, job.context.base, result.metrics);
  std::vector<NamedTensor> gates;
  if (result.gate.defined()) gates = gate_tensors(item.recipe.sites, result.gate);
  if (!item.parent.empty()) return registry.commit_gates(item.parent, gates, about, item.recipe.key);
  const PeftLora lora = lora_to_peft(item.recipe.sites, result.lora, peft_base(job.context.base.spec()));
  return registry.commit({item.name, peft_config_json(lora, site_names(job.context.base.sites())),
                          peft_tensors(lora, stored_dtype(job.config().registry.dtype)), gates, about,
                          item.recipe.key});
}

}  // namespace gaggle
