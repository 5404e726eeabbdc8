#include "library/routing_row.h"

#include "base/error.h"
#include "library/peft_values.h"
#include "registry/version_files.h"

namespace gaggle {

std::map<std::string, at::Tensor> row_logits(const PolySpec& spec, const at::Tensor& values) {
  const ParameterLayout layout = poly_layout(spec);
  std::map<std::string, at::Tensor> logits;
  for (const ParameterInfo& tensor : layout.tensors())
    if (is_router(tensor)) logits[tensor.name] = layout.view(values, tensor);
  return logits;
}

Inventory with_routing_row(const Inventory& parent, const RoutingRow& row) {
  const std::string where = fmt::format("routing row {}", row.pin());
  if (parent.spec.routing != Routing::learned)
    user_error("{}: it mixes skills, and its parent {} ({}) has no routing", where, row.parent, parent.method);
  Inventory mixed = parent;
  mixed.spec.tasks = 1;
  mixed.tasks = {row.task};
  mixed.routing_row = row.pin();
  mixed.digest = row.digest;
  if (mixed.not_finite.empty() && !row.not_finite.empty())
    mixed.not_finite = fmt::format("{}: {}", where, row.not_finite);
  std::map<std::string, at::Tensor> given = row.logits;
  const ParameterLayout from = poly_layout(parent.spec), layout = poly_layout(mixed.spec);
  mixed.values = at::empty({layout.size()}, at::kFloat);
  for (const ParameterInfo& tensor : layout.tensors()) {
    const at::Tensor to = layout.view(mixed.values, tensor);
    if (!is_router(tensor)) {
      to.copy_(from.view(parent.values, tensor.name));
      continue;
    }
    const auto found = given.find(tensor.name);
    if (found == given.end())
      user_error("{}: it has no {}, which the skills of {} are mixed by", where, tensor.name, row.parent);
    if (found->second.sizes().vec() != tensor.shape)
      user_error("{}: {} is {}; {} has {} heads and {} skills: expected {}", where, tensor.name,
                 shape_text(found->second.sizes()), row.parent, parent.spec.heads, parent.spec.skills,
                 shape_text(tensor.shape));
    to.copy_(found->second);
    given.erase(found);
  }
  if (!given.empty())
    user_error("{}: {} is no router of {}, whose routing is by {}", where, given.begin()->first, row.parent,
               name_of(parent.spec.granularity));
  return mixed;
}

RoutingRow load_routing_row(const Registry& registry, const std::string& name) {
  const Version version = registry.load(Kind::routing_row, name);
  RoutingRow row{version.name,
                 version.version,
                 digest_of(version),
                 text_at(read_sidecar(version), "task"),
                 parent_of(registry, version).pin(),
                 {}};
  for (const NamedTensor& tensor : read_routing_row(version)) {
    at::Tensor values = at::empty(tensor.shape, at::kFloat);
    to_float(tensor.view(), {values.data_ptr<float>(), static_cast<size_t>(values.numel())});
    row.logits[tensor.name] = values;
    if (row.not_finite.empty()) row.not_finite = not_finite(tensor.view());
  }
  return row;
}

std::string store_routing_row(Registry& registry, const RoutingRow& row, const Provenance& made) {
  const Version parent = registry.load(Kind::inventory, row.parent);
  std::vector<NamedTensor> tensors;
  for (const auto& [name, logits] : row.logits)
    tensors.push_back(from_float(name, logits.sizes().vec(), floats_of(logits), DType::f32));
  NewVersion version = new_version(Kind::routing_row, row.name, made);
  version.files[routing_row_file] = tensor_file_bytes(tensors);
  version.sidecar["parent"] = parent.pin();
  version.sidecar["parent_sha256"] = digest_of(parent);
  return registry.commit(version);
}

}  // namespace gaggle
