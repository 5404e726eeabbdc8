// Adapters as PEFT's folders hold them (adapter_config.json and adapter_model.safetensors), both directions: LoRA, Poly
// (arXiv 2202.13914, with several heads MHR, 2211.03831) and (IA)³ (2205.05638). And Poly of (IA)³'s vectors, for which
// PEFT has no form: the same two files with peft_type "GAGGLE_POLY_IA3", and the sizes under Poly's keys.
#pragma once

#include <filesystem>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "formats/checkpoint.h"
#include "formats/tensor.h"

namespace gaggle {

enum class PeftKind { lora, poly, ia3, poly_ia3 };
inline const std::vector<PeftKind> all_peft_kinds = {PeftKind::lora, PeftKind::poly, PeftKind::ia3, PeftKind::poly_ia3};

// What an adapter's folder says of its base.
struct PeftBase {
  std::string name;                     // base_model_name_or_path
  std::string task_type = "CAUSAL_LM";  // or SEQ_2_SEQ_LM: what PEFT wraps the model as
};
PeftBase peft_base(const ModelSpec& spec);

// Values in the shape in which they are stored.
struct PeftTensor {
  std::vector<int64_t> shape;
  std::vector<float> values;
};

// Of a LoRA: lora_A [r, d_in], lora_B [d_out, r]; y += scale · B A x.
// Of Poly: poly_lora_A [heads, skills, d_in / heads, r], poly_lora_B [heads, skills, r, d_out / heads], and
//   poly_router.module_logits z [tasks, heads · skills]; for a task, block q of A is Σ_k w_qk A[q, k] with
//   w_q = σ(z_q) / Σ σ(z_q), likewise of B, and y += x A B / r.
// Of (IA)³: ia3_l [d_out, 1], y ∘ l; or at a feed-forward module [1, d_in], W (x ∘ l).
// Of its Poly form: poly_ia3_l [heads, skills, width / heads], and the logits.
struct PeftSite {
  std::string site;  // module path, "model.layers.0.self_attn.q_proj"
  int64_t rank = 0;  // r of low-rank pairs
  double scale = 1;  // of a LoRA: alpha/r or alpha/√r, with rank_pattern and alpha_pattern resolved as PEFT does
  bool feedforward = false;         // of (IA)³: it rescales the module's input
  std::vector<PeftTensor> tensors;  // in the order given above
  std::vector<float> gate;          // [d_in], from gate.safetensors; empty: none
};

struct PeftAdapter {
  PeftKind kind = PeftKind::lora;
  PeftBase base;
  DType dtype = DType::f32;                  // of the stored tensors
  int64_t tasks = 0, skills = 1, heads = 1;  // n_tasks, n_skills, n_splits; 0 tasks: one adapter for all
  std::vector<PeftSite> sites;               // in name order
  std::string not_finite = {};               // the first value that is NaN or infinite, with its file; "": none is
};
// Throws NotFinite where a value of it is not.
void require_finite(const PeftAdapter& adapter);

// Widths of the module that an adapter sits on; 0: (IA)³'s vectors tell one of them only.
struct PeftWidths {
  int64_t in = 0, out = 0;
};
PeftWidths widths_of(const PeftAdapter& adapter, const PeftSite& site);

// Forms of others are brought to PEFT's first (formats/peft_files.h). Throws UserError naming the folder and the
// reason: a peft_type of none of these kinds, DoRA, modules_to_save, biases, tensors that the config does not explain or
// that lack their partners, shapes that do not fit it. Values that are not finite are
// read and noted.
PeftAdapter read_peft(const std::filesystem::path& folder, const std::vector<PeftKind>& kinds = all_peft_kinds);
// Fills the gates of a LoRA's sites from "<module path>.gate" [d_in] fp32. Throws UserError: another type or
// width, a gate that belongs to no site.
void read_gates(const std::filesystem::path& file, PeftAdapter& lora);

// adapter_config.json with long-lived keys only; target_modules as a list of module endings, or of whole module
// paths where endings would match too much among all sites of the base.
std::string peft_config_json(const PeftAdapter& adapter, const std::vector<std::string>& all_sites);
// "base_model.model.<site>.lora_A.weight" and so on, sorted by name.
std::vector<NamedTensor> peft_tensors(const PeftAdapter& adapter, DType dtype);
std::vector<NamedTensor> gate_tensors(const PeftAdapter& lora);  // sorted by name; fp32

// What sidecars say of its sizes: {"lora": {rank, sites}} or {"poly": {rank, sites, tasks, skills, heads}}; of
// PEFT's (IA)³ nothing.
nlohmann::ordered_json sizes_json(const PeftAdapter& adapter);

// MHR-μ: the skills averaged into one adapter, a LoRA of scale 1/r with A [r, d_in] = mean_k A[q, k]ᵀ block by
// block, or one vector per site.
PeftAdapter mean_of_skills(const PeftAdapter& poly);
// A task's mixture as one adapter of the same form: `logits_of(site)` are its routing values there, [heads · skills].
using SkillLogits = std::function<std::vector<float>(const PeftSite& site)>;
PeftAdapter mixture_of_skills(const PeftAdapter& poly, const SkillLogits& logits_of);

// A LoRA whose B holds the site's scale, and of one rank r (smaller ones are padded with zeros): lora_alpha = r says
// it all.
PeftAdapter with_scale_in_b(PeftAdapter lora);

}  // namespace gaggle
