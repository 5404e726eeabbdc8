#include "registry/import.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/names.h"
#include "formats/checkpoint_digest.h"
#include "formats/peft.h"
#include "formats/safetensors.h"
#include "registry/sidecar.h"

namespace gaggle {
namespace {

std::vector<NamedTensor> read_all(const fs::path& file) {
  const SafetensorsFile tensors(file);
  std::vector<NamedTensor> all;
  for (const TensorView& view : tensors.tensors())
    all.push_back({view.name, view.dtype, view.shape, {view.bytes.begin(), view.bytes.end()}});
  return all;
}

// Every site must be a linear inside the base's layers, of the widths the LoRA has.
void check_sites(const PeftLora& lora, const BaseShapes& base, const fs::path& folder) {
  for (const PeftLoraSite& site : lora.sites) {
    const std::string name = site.site + ".weight";
    const auto found = std::find_if(base.weights.begin(), base.weights.end(),
                                    [&](const WeightInfo& weight) { return weight.name == name; });
    const std::string& model = base.fingerprint.name;
    if (found == base.weights.end() || found->shape.size() != 2)
      user_error("{}: site {} is no linear of {}", folder.string(), site.site, model);
    if (site.site.find(".layers.") == std::string::npos)
      user_error("{}: site {} is outside the layers of {}; gaggle adapts neither head nor embedding",
                 folder.string(), site.site, model);
    if (found->shape != std::vector<int64_t>{site.d_out, site.d_in})
      user_error("{}: site {} is {} wide in and {} out, in {} it is {} and {}", folder.string(), site.site,
                 site.d_in, site.d_out, model, found->shape[1], found->shape[0]);
  }
}

}  // namespace

BaseShapes base_shapes(const ModelCheckpoint& model) {
  BaseShapes base;
  base.weights = model.weights();
  base.fingerprint = {model.spec().name, shapes_digest(base.weights), ""};
  return base;
}

NewExpert read_import(const fs::path& folder, const std::string& name, const std::optional<BaseShapes>& base) {
  check_name(name, "expert");
  if (!fs::is_directory(folder)) user_error("{}: no such folder", folder.string());
  const PeftLora lora = read_peft_lora(folder);
  if (lora.sites.empty()) user_error("{}: holds no LoRA tensors", folder.string());
  if (base) check_sites(lora, *base, folder);
  NewExpert expert;
  expert.name = name;
  expert.adapter_config = read_file(folder / lora_config_file);
  expert.lora = read_all(folder / lora_file);
  if (fs::exists(folder / gate_file)) {
    expert.gates = read_all(folder / gate_file);
    for (const NamedTensor& gate : expert.gates)
      if (!gate.name.ends_with(".gate") || gate.shape.size() != 1 || gate.dtype != DType::f32)
        user_error("{}: {} is no gate (\"<module path>.gate\", one fp32 vector)", (folder / gate_file).string(),
                   gate.name);
  }
  // The folder's own name, not its path: two imports of one folder are the same expert.
  nlohmann::ordered_json sidecar = {{"origin", "imported"},
                                    {"source", fs::absolute(folder).lexically_normal().filename().string()},
                                    {"declared_base", lora.base_name}};
  if (base) sidecar["base"] = {{"name", base->fingerprint.name}, {"shapes", base->fingerprint.shapes}};
  expert.expert_json = sidecar.dump();
  return expert;
}

void export_expert(const Registry& registry, const std::string& name, const fs::path& to) {
  const fs::path from = registry.folder_of(name);
  if (fs::exists(fs::symlink_status(to)))
    user_error("--to {}: is there already; name a new folder", to.string());
  const fs::path parent = fs::absolute(to).parent_path();
  require_writable(parent, "--to");
  const fs::path beside = fs::absolute(to).string() + ".part";
  fs::create_directory(beside);
  for (const auto& entry : fs::directory_iterator(from))
    if (entry.is_regular_file() && !entry.is_symlink())
      write_file_durable(beside / entry.path().filename(), read_file(entry.path()));
  fs::rename(beside, to);
  fsync_folder(parent);
}

}  // namespace gaggle
