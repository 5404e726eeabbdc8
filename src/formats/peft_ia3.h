// (IA)³ folders: PEFT's own (peft/tuners/ia3; arXiv 2205.05638), both directions, and the Poly form, which PEFT
// does not know: the same two files with peft_type "GAGGLE_POLY_IA3" and the sizes under Poly's keys.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "formats/peft_base.h"
#include "formats/tensor.h"

namespace gaggle {

inline constexpr const char* poly_ia3_type = "GAGGLE_POLY_IA3";

// y ∘ l, or W (x ∘ l) of a feed-forward module, with block q of a task's l = Σ_k w_qk l[q, k];
// w as PeftPoly has it.
struct PeftIa3Site {
  std::string site;  // module path, "model.layers.0.self_attn.k_proj"
  bool feedforward = false;
  int64_t width = 0;          // a multiple of the heads
  std::vector<float> l;       // [heads, skills, width / heads]
  std::vector<float> logits;  // [tasks, heads · skills]; empty in PEFT's form
};

struct PeftIa3 {
  PeftBase base;
  DType dtype = DType::f32;  // of the stored tensors
  int64_t tasks = 0, skills = 1,
          heads = 1;               // n_tasks, n_skills, n_splits; no tasks: PEFT's form, one l for all
  std::vector<PeftIa3Site> sites;  // in name order
};

// Throws UserError naming the folder and the reason: another peft_type, modules_to_save, tensors that the
// config does not explain, shapes that do not fit it.
PeftIa3 read_peft_ia3(const std::filesystem::path& folder);

// adapter_config.json with long-lived keys only; modules as peft_config_json chooses them.
std::string peft_ia3_config_json(const PeftIa3& ia3, const std::vector<std::string>& all_sites);
// PEFT's "base_model.model.<site>.ia3_l" [width, 1] ([1, width] of a feed-forward module), or "….poly_ia3_l"
// [heads, skills, width / heads] and "….poly_router.module_logits"; sorted by name.
std::vector<NamedTensor> peft_ia3_tensors(const PeftIa3& ia3, DType dtype);

// MHR-μ: l averaged over the skills, in PEFT's form.
PeftIa3 mean_of_skills(const PeftIa3& ia3);

}  // namespace gaggle
