// Reading a PEFT LoRA folder; what is refused by the config alone stands in peft_config.cpp.
#include "formats/peft.h"

#include <map>
#include <optional>

#include "base/error.h"
#include "formats/peft_config.h"
#include "formats/safetensors.h"

namespace gaggle {
namespace {

namespace fs = std::filesystem;

struct Pair {
  const TensorView* a = nullptr;
  const TensorView* b = nullptr;
};

// "base_model.model.<site>.lora_A.weight" → the site and where its tensor belongs.
void sort_in(const TensorView& tensor, std::map<std::string, Pair>& pairs, const std::string& file) {
  static constexpr std::string_view prefix = "base_model.model.", a = ".lora_A.weight", b = ".lora_B.weight";
  const std::string& name = tensor.name;
  if (name.find("lora_magnitude_vector") != std::string::npos)
    user_error("{}: tensor {} belongs to DoRA, which is not supported", file, name);
  const bool is_a = name.ends_with(a), is_b = name.ends_with(b);
  if (!name.starts_with(prefix) || !(is_a || is_b) || name.size() <= prefix.size() + a.size())
    user_error(
        "{}: tensor {} is no part of a plain LoRA on linears (base_model.model.<module>.lora_A.weight, "
        "lora_B.weight)",
        file, name);
  Pair& pair = pairs[name.substr(prefix.size(), name.size() - prefix.size() - a.size())];
  (is_a ? pair.a : pair.b) = &tensor;
}

std::vector<float> values_of(const TensorView& tensor, const std::string& file) {
  if (tensor.dtype != DType::f32 && tensor.dtype != DType::f16 && tensor.dtype != DType::bf16)
    user_error("{}: tensor {} has type {}; expected F32, F16 or BF16", file, tensor.name,
               name_of(tensor.dtype));
  std::vector<float> values(static_cast<size_t>(tensor.count()));
  to_float(tensor, values);
  return values;
}

PeftLoraSite read_site(const std::string& module, const Pair& pair, const PeftLoraConfig& config,
                       const std::string& file) {
  if (!pair.a || !pair.b)
    user_error("{}: {} has lora_{} but not lora_{}", file, module, pair.a ? "A" : "B", pair.a ? "B" : "A");
  if (!targets(config, module))
    user_error("{}: {} has tensors, but target_modules of adapter_config.json does not name it", file, module);
  const auto& a = pair.a->shape;
  const auto& b = pair.b->shape;
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
  site.a = values_of(*pair.a, file);
  site.b = values_of(*pair.b, file);
  return site;
}

}  // namespace

PeftLora read_peft_lora(const fs::path& folder) {
  const fs::path config_file = folder / "adapter_config.json",
                 tensor_file = folder / "adapter_model.safetensors";
  if (!fs::exists(config_file))
    user_error("{}: no PEFT folder: adapter_config.json is not there", folder.string());
  const PeftLoraConfig config = parse_peft_config(read_file(config_file), config_file.string());
  if (!fs::exists(tensor_file))
    user_error("{}: adapter_model.safetensors is not there{}", folder.string(),
               fs::exists(folder / "adapter_model.bin")
                   ? " (adapter_model.bin is a pickle, which is never read: save the adapter as safetensors)"
                   : "");
  const SafetensorsFile file(tensor_file);
  std::map<std::string, Pair> pairs;
  for (const TensorView& tensor : file.tensors()) sort_in(tensor, pairs, file.name());
  if (pairs.empty()) user_error("{}: there is no tensor in it", file.name());

  PeftLora lora;
  lora.base_name = config.base_name;
  std::optional<DType> dtype;
  for (const auto& [module, pair] : pairs) {
    lora.sites.push_back(read_site(module, pair, config, file.name()));
    for (const TensorView* tensor : {pair.a, pair.b})
      dtype = !dtype || *dtype == tensor->dtype ? tensor->dtype : DType::f32;
  }
  lora.dtype = *dtype;
  return lora;
}

}  // namespace gaggle
