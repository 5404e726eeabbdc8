#include "adapter/inventory_row.h"

#include <map>

#include "base/error.h"

namespace gaggle {

Inventory with_row(const Inventory& parent, const StoredRow& row) {
  const std::string where = row.folder.string();
  if (parent.spec.routing != Routing::learned)
    user_error("{}: a row mixes skills, and its parent {} ({}) has no routing", where, row.parent,
               parent.method);
  Inventory mixed = parent;
  mixed.spec.tasks = 1;
  mixed.tasks = {row.task};
  std::map<std::string, const NamedTensor*> given;
  for (const NamedTensor& tensor : row.tensors) given[tensor.name] = &tensor;
  const ParameterLayout from = poly_layout(parent.spec), layout = poly_layout(mixed.spec);
  mixed.values = at::empty({layout.size()}, at::kFloat);
  for (const ParameterInfo& tensor : layout.tensors()) {
    at::Tensor to = layout.view(mixed.values, tensor);
    if (!is_router(tensor)) {
      to.copy_(from.view(parent.values, tensor.name));
      continue;
    }
    const auto found = given.find(tensor.name);
    if (found == given.end())
      user_error("{}: it has no {}, which the skills of {} are mixed by", where, tensor.name, row.parent);
    if (found->second->shape != tensor.shape)
      user_error("{}: {} is {}; {} has {} heads and {} skills: expected {}", where, tensor.name,
                 shape_text(found->second->shape), row.parent, parent.spec.heads, parent.spec.skills,
                 shape_text(tensor.shape));
    to_float(found->second->view(), {to.data_ptr<float>(), static_cast<size_t>(tensor.count)});
    given.erase(found);
  }
  if (!given.empty())
    user_error("{}: {} is no router of {}, whose routing is by {}", where, given.begin()->first, row.parent,
               parent.spec.granularity);
  return mixed;
}

}  // namespace gaggle
