// Reading a PEFT LoRA folder; what is refused by the config alone stands in peft_config.cpp.
#include "formats/peft.h"

#include "base/error.h"
#include "formats/peft_config.h"
#include "formats/peft_parts.h"

namespace gaggle {
namespace {

using namespace peft_parts;

const std::vector<std::string> lora_suffixes = {".lora_A.weight", ".lora_B.weight"};

PeftLoraSite read_site(const std::string& module, const Parts& parts, const PeftLoraConfig& config,
                       const std::string& file) {
  if (!targets(config, module)) not_targeted(module, file);
  const auto& a = parts[0]->shape;
  const auto& b = parts[1]->shape;
  if (a.size() != 2 || b.size() != 2 || a[0] != b[1] || a[0] < 1)
    user_error("{}: {}: lora_A {} and lora_B {} do not fit; expected [r, d_in] and [d_out, r]", file, module,
               shape_text(a), shape_text(b));
  PeftLoraSite site;
  site.site = module;
  site.rank = rank_of(config, module);
  site.scale = scale_of(config, module);
  site.d_in = a[1];
  site.d_out = b[0];
  if (site.rank != a[0])
    user_error("{}: {} has rank {}, but adapter_config.json gives it rank {}", file, module, a[0], site.rank);
  site.a = values_of(*parts[0], file);
  site.b = values_of(*parts[1], file);
  return site;
}

}  // namespace

std::string peft_type(const fs::path& folder) {
  return text_of(value_of(read_config(folder), "peft_type"));
}

PeftLora read_peft_lora(const fs::path& folder) {
  const PeftLoraConfig config = parse_peft_config(read_config(folder), (folder / config_file).string());
  const SafetensorsFile file = open_tensors(folder);
  for (const TensorView& tensor : file.tensors())
    if (tensor.name.find("lora_magnitude_vector") != std::string::npos)
      user_error("{}: tensor {} belongs to DoRA, which is not supported", file.name(), tensor.name);
  PeftLora lora;
  lora.base = config.base;
  lora.dtype = common_dtype(file.tensors());
  for (const auto& [module, parts] : by_module(file, lora_suffixes, "a plain LoRA on linears"))
    lora.sites.push_back(read_site(module, parts, config, file.name()));
  return lora;
}

}  // namespace gaggle
