// PEFT Poly folders (peft/tuners/poly): Poly (arXiv 2202.13914) and MHR (2211.03831), tensor for tensor.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "formats/peft.h"
#include "formats/peft_base.h"
#include "formats/tensor.h"

namespace gaggle {

// y += x A B / r for a task, with block q of A = Σ_k w_qk a[q, k] (stacked along d_in), block q of B = Σ_k w_qk
// b[q, k] (along d_out), w_q = σ(z_q) / Σ σ(z_q), z the task's row of the logits.
struct PeftPolySite {
  std::string site;  // module path, "model.layers.0.self_attn.q_proj"
  int64_t rank = 0;
  int64_t d_in = 0, d_out = 0;  // multiples of the heads
  std::vector<float> a;         // poly_lora_A [heads, skills, d_in / heads, r]
  std::vector<float> b;         // poly_lora_B [heads, skills, r, d_out / heads]
  std::vector<float> logits;    // poly_router.module_logits [tasks, heads · skills]
};

struct PeftPoly {
  PeftBase base;
  DType dtype = DType::f32;                  // of the stored tensors
  int64_t tasks = 0, skills = 0, heads = 0;  // n_tasks, n_skills, n_splits
  std::vector<PeftPolySite> sites;           // in name order; all of one rank (r)
};

// Throws UserError naming the folder and the reason: another peft_type, modules_to_save, tensors that the
// config does not explain or that lack their partners, shapes that fit neither each other nor the config.
PeftPoly read_peft_poly(const std::filesystem::path& folder);

// adapter_config.json with long-lived keys only; target_modules as peft_config_json chooses them.
std::string peft_poly_config_json(const PeftPoly& poly, const std::vector<std::string>& all_sites);
// "base_model.model.<site>.poly_lora_A", poly_lora_B, poly_router.module_logits, sorted by name.
std::vector<NamedTensor> peft_poly_tensors(const PeftPoly& poly, DType dtype);

// MHR-μ: the skills averaged into one adapter, A [r, d_in] = mean_k a[q, k]ᵀ block by block, B [d_out, r] =
// mean_k b[q, k]ᵀ, scale 1/r, fp32.
PeftLora mean_of_skills(const PeftPoly& poly);

}  // namespace gaggle
