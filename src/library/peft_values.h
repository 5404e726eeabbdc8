// Between an adapter as a PEFT folder holds it and its parameters as one flat tensor.
#pragma once

#include <functional>

#include "adapter/lora.h"
#include "formats/peft.h"

namespace gaggle {

// What the i-th tensor of a site is called among the parameters.
using ParameterName = std::function<std::string(const Site& site, size_t i)>;

// The sites of the base that an adapter sits on, in the base's order, with its ranks and scales. Throws
// UserError that begins with `where` for one that the base does not have.
std::vector<LoraSite> sites_of(const PeftAdapter& adapter, const std::vector<Site>& sites, const std::string& where);

// An adapter's sites in the order of `sites`. Throws UserError that begins with `where` if they are not the same.
std::vector<const PeftSite*> in_order_of(std::span<const LoraSite> sites, const PeftAdapter& adapter,
                                         const std::string& where);

// [layout.size()] fp32 on the CPU. Tensors that the layout does not have are left out; one that several sites
// share is the first site's. Throws UserError that begins with `where` for shapes that do not fit.
at::Tensor values_from_peft(const PeftAdapter& adapter, std::span<const LoraSite> sites, const ParameterLayout& layout,
                            const ParameterName& name_of, const std::string& where);

PeftTensor peft_tensor(const at::Tensor& values);
std::vector<float> floats_of(const at::Tensor& values);

}  // namespace gaggle
