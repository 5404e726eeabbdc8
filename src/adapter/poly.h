// Poly (Ponti et al., arXiv 2202.13914) and MHR (Caccia et al., arXiv 2211.03831): K low-rank skills per site,
// cut into h heads, mixed by a task's row of the routing table. h = 1 is Poly, K = 1 one LoRA that all tasks
// share. Tensors are as PEFT stores them: "<site>.poly_lora_A" [h, K, d_in/h, r],
// "<site>.poly_lora_B" [h, K, r, d_out/h], "<group>.poly_router.module_logits" [tasks, h·K].
#pragma once

#include <span>
#include <string>
#include <vector>

#include "adapter/lora.h"

namespace gaggle {

// What a skill is at a site: a low-rank pair A, B; or a vector l that rescales ((IA)³, adapter/ia3.h),
// "<site>.poly_ia3_l" [h, K, width/h].
enum class SkillKind { low_rank, rescaling };

// Where a task's mixture comes from: its row of the table; all skills alike; its own skill (task t: skill t).
enum class Routing { learned, uniform, one_hot };

// Of a poly.method: poly | mhr | shared | private.
Routing routing_of_method(const std::string& method);

// Which sites share a row of the routing table.
enum class Granularity { site, layer, stack, model };
const char* name_of(Granularity granularity);
Granularity granularity_named(const std::string& name);  // throws UserError

struct PolySpec {
  SkillKind skill = SkillKind::low_rank;
  std::vector<LoraSite> sites;  // rank r and scale (1/r) of each pair
  int64_t skills = 1, heads = 1, tasks = 1;
  Routing routing = Routing::learned;
  Granularity granularity = Granularity::site;
  bool train_skills = true;  // false: only the routing table (MHR-z)

  // What `site` shares its routing with, as the prefix of a tensor name: "model.layers.0.self_attn.q_proj.",
  // "model.layers.0.", "model.", "".
  std::string router_prefix(const Site& site) const;
  // The name of its routing table.
  std::string router_name(const Site& site) const;
};

// Throws UserError that names each site whose widths (the rescaled one) the heads do not divide.
void check_heads(std::span<const LoraSite> sites, int64_t heads, SkillKind skill = SkillKind::low_rank);

// All tensors; those that train, those that do not.
ParameterLayout poly_layout(const PolySpec& spec);
ParameterLayout trained_layout(const PolySpec& spec);
bool is_router(const ParameterInfo& tensor);
// What skills are called at a site: ".poly_lora_A" and ".poly_lora_B", or ".poly_ia3_l".
std::vector<std::string> skill_names(SkillKind skill);

// [poly_layout(spec).size()] fp32, keyed by (seed, tensor name):
// A ~ U(±1/√(3 d_in)), B = 0, l = 1, Z ~ U(±1e-3).
at::Tensor initial_poly(const PolySpec& spec, uint64_t seed);

// The same sites with one skill for everything: what a mixture of (IA)³'s vectors is.
PolySpec one_skill(PolySpec spec);
// Of one mixture of the skills: lora_layout(spec.sites), or poly_layout(one_skill(spec)).
ParameterLayout mixture_layout(const PolySpec& spec);

// The Gram [T, T] of T tasks' gradients of the shared skills, from products per head of their mixtures' gradients
// [h, T, T] and weights [T, h, K]: with one routing row per task the gradient of skill k at head q is w_qk G[q], so
//   <g_t, g_t'> = Σ_q (Σ_k w^t_qk w^t'_qk) <G_t[q], G_t'[q]>
// fp64, on the products' device.
at::Tensor skill_gram(const at::Tensor& products, const at::Tensor& weights);

// MHR-μ: the skills averaged into one adapter, mean A and mean B or mean l, [mixture_layout(spec).size()].
at::Tensor averaged_skills(const PolySpec& spec, const at::Tensor& values);

// The weights [rows, h, K] that uniform or one-hot routing gives a task everywhere.
at::Tensor fixed_weights(const PolySpec& spec, int64_t rows, int task, const at::TensorOptions& options);

// A task's mixed adapter with its evaluation routing (no samples), in the same layout.
at::Tensor mixed_adapter(const PolySpec& spec, const at::Tensor& values, int task);

}  // namespace gaggle
