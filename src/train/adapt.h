// Few-shot adaptation of a pretrained inventory to one new task (Poly, arXiv 2202.13914; MHR, 2211.03831): what
// each method trains, from which values, under which key.
#pragma once

#include "adapter/poly_adapter.h"
#include "library/inventory.h"
#include "train/recipe.h"

namespace gaggle {

// mu_collapsed and mu_kept are MHR-μ. Collapsed: the skills are averaged first, and the average trains. Kept,
// as the papers ran it: all skills train under fixed uniform weights and are averaged at the end, which is
// another thing wherever a tensor's own size counts, as in Adafactor with scale_parameter.
enum class AdaptMethod { full, z, mu_collapsed, mu_kept, random, shared, lora };

// What a method starts from: the skills of adapt.from; their average; the adapter of adapt.shared_from; skills
// or a LoRA that are drawn, in the shape of adapt.from.
enum class AdaptStart { skills, average, shared_adapter, fresh_skills, fresh_lora };
// What it trains: a routing row alone (MHR-z), skills under uniform weights, both, or one adapter without
// routing: a LoRA or one set of (IA)³'s vectors.
enum class AdaptTrains { routing_row, skills, routing_row_and_skills, one_adapter };
// What the registry keeps of it: an expert, an inventory of one task, or a routing row of adapt.from.
enum class AdaptStored { expert, inventory, routing_row };

struct AdaptMethodInfo {
  AdaptMethod method;
  const char* name;  // as printed and in names
  AdaptStart start;
  AdaptTrains trains;
  AdaptStored stored;  // of low-rank skills; (IA)³'s vectors cannot be an expert (stored_as)
  const char* words;   // what is trained, for the plan
};
inline constexpr AdaptMethodInfo adapt_methods[] = {
    {AdaptMethod::full, "full", AdaptStart::skills, AdaptTrains::routing_row_and_skills, AdaptStored::inventory,
     "a fresh routing row and the skills"},
    {AdaptMethod::z, "z", AdaptStart::skills, AdaptTrains::routing_row, AdaptStored::routing_row,
     "a fresh routing row alone"},
    {AdaptMethod::mu_collapsed, "mu", AdaptStart::average, AdaptTrains::one_adapter, AdaptStored::expert,
     "the skills' average, one adapter"},
    {AdaptMethod::mu_kept, "mu-kept", AdaptStart::skills, AdaptTrains::skills, AdaptStored::expert,
     "the skills under uniform weights, averaged at the end"},
    {AdaptMethod::random, "random", AdaptStart::fresh_skills, AdaptTrains::routing_row_and_skills,
     AdaptStored::inventory, "a fresh routing row and fresh skills of the same shape"},
    {AdaptMethod::shared, "shared", AdaptStart::shared_adapter, AdaptTrains::one_adapter, AdaptStored::expert,
     "the adapter that all tasks shared"},
    {AdaptMethod::lora, "lora", AdaptStart::fresh_lora, AdaptTrains::one_adapter, AdaptStored::expert,
     "a LoRA from scratch"}};
const AdaptMethodInfo& info_of(AdaptMethod method);
AdaptMethod adapt_method(const std::string& name, const std::string& mu);  // adapt.method's words, adapt.mu
std::string method_name(AdaptMethod method);                               // AdaptMethodInfo::name

// The inventories of a run; null: not there.
struct AdaptSources {
  const Inventory* from = nullptr;
  const Inventory* shared = nullptr;
  // What a method starts from, or what only gives the shape; null: it is not there.
  const Inventory* of(AdaptMethod method) const;
};

// The task with `shots` of its training examples (0: all of them) and no others: the first of a permutation
// keyed by (seed, task), in the file's order. Throws UserError if it has fewer.
TokenTask few_shot(const TokenTask& task, int64_t shots, uint64_t seed);

struct AdaptRecipe {
  AdaptMethod method = AdaptMethod::full;
  uint64_t seed = 0;
  PolySpec spec;        // of one task; one_adapter() uses its sites
  double init_std = 0;  // of a fresh LoRA
  RoutingSchedule routing;
  PhaseSettings phase;
  nlohmann::json json;
  std::string key;

  const AdaptMethodInfo& info() const { return info_of(method); }
  bool one_adapter() const { return info().trains == AdaptTrains::one_adapter; }
  bool trains_routing_row() const {
    return info().trains == AdaptTrains::routing_row || info().trains == AdaptTrains::routing_row_and_skills;
  }
  // The inventory gives its values, not only its shape.
  bool has_parent() const { return info().start != AdaptStart::fresh_skills && info().start != AdaptStart::fresh_lora; }
  AdaptStored stored_as() const;
  int64_t trained() const;  // how many values train
};

// The sections of the config that a task is adapted by.
struct AdaptSections {
  const LoraConfig& lora;
  const TrainConfig& train;
  const PolyConfig& poly;
  const AdaptConfig& adapt;
};

// `few`: of few_shot(task, shots, seed). Throws UserError: an inventory that is missing or of a method that
// cannot be adapted so.
AdaptRecipe adapt_recipe(const RecipeBase& base, const AdaptSections& config, const AdaptSources& sources,
                         const TokenTask& few, AdaptMethod method, int64_t shots, uint64_t seed);

// Values before the first step: of poly_layout(spec), or of mixture_layout(spec) where one adapter trains.
at::Tensor adapt_start(const AdaptRecipe& recipe, const AdaptSources& sources);

// What trains, from these values.
std::unique_ptr<Trainable> adapted_adapter(const BaseModel& base, const AdaptRecipe& recipe, const at::Tensor& start);

struct AdaptedValues {
  at::Tensor values;       // in adapt_start's layout, fp32 on the CPU
  nlohmann::json metrics;  // "not_reproducible" where memory ended on the way; else nothing
};

// `folders`: where checkpoints of the item may lie. Collective over the group. Throws OtherMachine, NotFinite, and
// StopRequested on all ranks.
AdaptedValues train_adapted(BaseModel& base, const TokenTask& few, const AdaptRecipe& recipe,
                            const AdaptSources& sources, Communicator& group, const LoopHooks& hooks,
                            const std::vector<std::filesystem::path>& folders);

// The adapter that the task is served with, [mixture_layout(recipe.spec).size()]: mixed by the routing row, or
// averaged.
at::Tensor adapted_mixture(const AdaptRecipe& recipe, const at::Tensor& values);

}  // namespace gaggle
