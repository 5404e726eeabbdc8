// Few-shot adaptation of a pretrained skill inventory to one new task (Poly, arXiv 2202.13914; MHR,
// 2211.03831): what each method trains, from which values, under which key.
#pragma once

#include "adapter/inventory.h"
#include "adapter/poly_adapter.h"
#include "train/recipe.h"

namespace gaggle {

// full: a fresh routing row and the skills. z (MHR-z): the row alone. mu_collapsed (MHR-μ): the skills averaged
// into one adapter, which trains. mu_kept (MHR-μ as the papers ran it): the K skills under fixed uniform
// weights, averaged at the end; another thing wherever a tensor's own size counts, as in Adafactor with
// scale_parameter. random: as full, from fresh skills. shared: the adapter of poly.method = "shared". lora: a
// LoRA from scratch.
enum class AdaptMethod { full, z, mu_collapsed, mu_kept, random, shared, lora };

AdaptMethod adapt_method(const std::string& name, const std::string& mu);  // adapt.method's words, adapt.mu
std::string method_name(AdaptMethod method);  // as printed and in names: "mu" collapsed, "mu-kept"

// The artefacts of a run; null: not there.
struct AdaptSources {
  const Inventory* from = nullptr;
  const Inventory* shared = nullptr;
  // What a method starts from; of lora and random only the shape. Null: it is not there.
  const Inventory* of(AdaptMethod method) const;
};

// The task with `shots` of its training rows (0: all of them) and no others: the first of a permutation keyed
// by (seed, task), in the file's order. Throws UserError if it has fewer.
TokenTask few_shot(const TokenTask& task, int64_t shots, uint64_t seed);

struct AdaptRecipe {
  AdaptMethod method = AdaptMethod::full;
  uint64_t seed = 0;
  PolySpec spec;        // of one task; its sites also where one adapter trains
  double init_std = 0;  // of lora
  RoutingSchedule routing;
  PhaseSettings phase;
  nlohmann::json json;
  std::string key;

  bool one_adapter() const;  // one mixture trains, a LoRA or (IA)³'s vectors; else skills and rows
  int64_t trained() const;   // values
};

// `few`: of few_shot(task, shots, seed). Throws UserError: an artefact that is missing or of a method that
// cannot be adapted so.
AdaptRecipe adapt_recipe(const RecipeBase& base, const AdaptSources& sources, const TokenTask& few,
                         AdaptMethod method, int64_t shots, uint64_t seed);

// Values before the first step: of poly_layout(spec), or of mixture_layout(spec) where one adapter trains.
at::Tensor adapt_start(const AdaptRecipe& recipe, const AdaptSources& sources);

struct AdaptResult {
  std::optional<Exit> stopped;  // then nothing else is set
  at::Tensor values;            // as trained: in adapt_start's layout, fp32 on the CPU
};

// `folders`: where checkpoints of the item may lie. Collective over the group. Throws OtherMachine, NotFinite.
AdaptResult train_adapted(BaseModel& base, const TokenTask& few, const AdaptRecipe& recipe,
                          const AdaptSources& sources, Communicator& group, const LoopHooks& hooks,
                          const std::vector<std::filesystem::path>& folders);

// The adapter that the task is served with, [mixture_layout(recipe.spec).size()]: mixed by row, or averaged.
at::Tensor adapted_mixture(const AdaptRecipe& recipe, const at::Tensor& values);

}  // namespace gaggle
