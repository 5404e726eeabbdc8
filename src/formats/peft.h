// PEFT LoRA folders: adapter_config.json and adapter_model.safetensors, both directions.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "formats/peft_base.h"
#include "formats/tensor.h"

namespace gaggle {

struct PeftLoraSite {
  std::string site;  // module path, "model.layers.0.self_attn.q_proj"
  int64_t rank = 0;
  double scale = 1;      // alpha/r or alpha/√r, with rank_pattern and alpha_pattern resolved as PEFT does
  std::vector<float> a;  // [rank, d_in]
  std::vector<float> b;  // [d_out, rank]
  int64_t d_in = 0, d_out = 0;
};

struct PeftLora {
  PeftBase base;
  DType dtype = DType::f32;         // of the stored tensors
  std::vector<PeftLoraSite> sites;  // in name order
};

// peft_type of a folder's adapter_config.json ("LORA", "POLY"; "": none). Throws UserError: no file, no JSON.
std::string peft_type(const std::filesystem::path& folder);

// Throws UserError naming the folder and the reason: DoRA, modules_to_save, bias, another peft_type, tensors
// that the config does not explain, shapes that do not fit each other.
PeftLora read_peft_lora(const std::filesystem::path& folder);

// adapter_config.json with long-lived keys only; target_modules as a list of module endings, or of whole module
// paths where endings would match too much.
std::string peft_config_json(const PeftLora& lora, const std::vector<std::string>& all_sites);
// "base_model.model.<site>.lora_A.weight" [r, d_in], lora_B [d_out, r], sorted by name.
std::vector<NamedTensor> peft_tensors(const PeftLora& lora, DType dtype);

}  // namespace gaggle
