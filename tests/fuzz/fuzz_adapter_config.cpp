// adapter_config.json beside small tensors of each kind of adapter that it can describe.
#include <nlohmann/json.hpp>

#include "formats/peft.h"
#include "formats/peft_files.h"
#include "formats/safetensors.h"
#include "fuzz.h"

namespace gaggle::fuzz {
namespace {

const std::string site = "model.layers.0.self_attn.q_proj";

NamedTensor tensor(const std::string& name, std::vector<int64_t> shape) {
  size_t count = 1;
  for (const int64_t size : shape) count *= static_cast<size_t>(size);
  return from_float(name, std::move(shape), std::vector<float>(count, 0.5f), DType::f32);
}

void write_tensors(const fs::path& file, const std::vector<NamedTensor>& tensors) {
  std::vector<TensorView> views;
  for (const NamedTensor& each : tensors) views.push_back(each.view());
  fs::create_directories(file.parent_path());
  write(file, safetensors_bytes(views));
}

// A folder for each kind, without its config: a LoRA (also as MLX writes it), Poly, (IA)³, Poly of (IA)³.
std::vector<fs::path> make_folders(const fs::path& root) {
  const std::string prefix = "base_model.model." + site;
  const NamedTensor logits = tensor(prefix + ".poly_router.module_logits", {2, 6});
  const char* file = "adapter_model.safetensors";
  write_tensors(root / "lora" / file,
                {tensor(prefix + ".lora_A.weight", {2, 4}), tensor(prefix + ".lora_B.weight", {4, 2})});
  write_tensors(root / "lora/adapters.safetensors",
                {tensor(site + ".lora_a", {4, 2}), tensor(site + ".lora_b", {2, 4})});
  write_tensors(root / "poly" / file,
                {tensor(prefix + ".poly_lora_A", {2, 3, 2, 1}), tensor(prefix + ".poly_lora_B", {2, 3, 1, 2}), logits});
  write_tensors(root / "ia3" / file, {tensor(prefix + ".ia3_l", {4, 1})});
  write_tensors(root / "poly_ia3" / file, {tensor(prefix + ".poly_ia3_l", {2, 3, 2}), logits});
  return {root / "lora", root / "poly", root / "ia3", root / "poly_ia3"};
}

void read(const fs::path& folder, const std::vector<std::string>& drop) {
  const PeftFiles files = open_peft(folder, drop);
  const PeftAdapter adapter = parse_peft(files);
  declared_base(adapter.base.name);
  targets_without_tensors(files, adapter, {});
  targets_without_tensors(files, adapter, {site, "model.layers.1.mlp.down_proj"});
  peft_config_json(adapter, {site, "model.layers.1.mlp.down_proj"});
  sizes_json(adapter);
  for (const PeftSite& each : adapter.sites) widths_of(adapter, each);
  if (adapter.tasks > 0) mean_of_skills(adapter);
  if (adapter.kind == PeftKind::lora) with_scale_in_b(adapter);
}

}  // namespace

void try_input(std::string_view bytes) {
  static const Scratch scratch;
  static const std::vector<fs::path> folders = make_folders(scratch.path());
  for (const fs::path& folder : folders) {
    write(folder / "adapter_config.json", bytes);
    attempt([&] { read(folder, {}); });
    attempt([&] { read(folder, {"lm_head", "embed_tokens"}); });
  }
}

}  // namespace gaggle::fuzz
