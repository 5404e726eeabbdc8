// probe poly-train SPEC.json OUT: trains an inventory as SPEC says and writes OUT.safetensors (its tensors) and
// OUT.json (loss per step). SPEC: model, from (a PEFT Poly folder), tasks [[{input, target}]] by routing row,
// and numbers of the config.
// probe poly-logits SPEC.json OUT.safetensors: logits of a folder's tasks in evaluation, [examples, vocab] of
// all sequences one after the other: "inventory" of one pass over all, "mixed" of each task's mixed adapter,
// "mean" of the averaged skills. SPEC: model, from, tasks [[ids]].
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "library/inventory.h"
#include "probe/probe.h"
#include "probe/probe_skills.h"

namespace gaggle::probe::poly {
namespace {

using nlohmann::json;

Config config_of(const json& spec, int64_t examples) {
  Config config;
  config.poly.method = spec.value("method", "mhr");
  config.poly.heads = spec.at("heads");
  config.poly.skills = spec.at("skills");
  config.poly.rank = spec.at("rank");
  config.poly.router_lr = spec.at("router_lr");
  config.poly.init_from = spec.at("from");
  config.lora.targets = spec.at("targets");
  config.train.lr = spec.at("lr");
  config.train.steps = spec.at("steps");
  config.train.batch_size = examples;
  config.train.warmup = spec.at("warmup");
  config.train.schedule = spec.at("schedule");
  config.train.weight_decay = spec.at("weight_decay");
  config.train.clip = spec.at("clip");
  config.train.label_smoothing = spec.at("label_smoothing");
  config.train.tokens_per_microbatch = spec.at("tokens_per_microbatch");
  return config;
}

int poly_train(const std::vector<std::string>& arguments) {
  if (arguments.size() != 2) user_error("probe poly-train SPEC.json OUT");
  const json spec = json::parse(read_file(arguments[0]));
  const std::vector<TokenTask> tasks = training_tasks(spec.at("tasks"));
  const auto base = load_base_model(*open_model(spec.at("model"), ""), at::kFloat, at::kCPU, BaseUse::training);
  const Config config = config_of(spec, examples_of_all(tasks));
  const SkillsRecipe recipe =
      skills_recipe({config.run.seed, base->sites(), base->content_digest(), base->dtype()},
                    {config.data, config.lora, config.train, config.poly}, tasks, spec.at("lanes"));
  PolyAdapter adapter(recipe.spec, recipe.start, recipe.schedule, base->dtype(), at::kCPU);
  json losses = json::array();
  LoopHooks hooks;
  hooks.on_step = [&](const StepReport& r) { losses.push_back(r.loss); };
  const auto self = make_self();
  const SkillsResult done = train_skills(*base, tasks, recipe, adapter, *self, hooks, "nowhere");
  write_trained(arguments[1], recipe.spec, done.values, losses);
  return 0;
}

PolySpec spec_of(const PeftAdapter& poly, const std::vector<Site>& sites) {
  PolySpec spec;
  spec.tasks = poly.tasks, spec.skills = poly.skills, spec.heads = poly.heads;
  for (const Site& site : sites)
    for (const PeftSite& s : poly.sites)
      if (s.site == site.name) spec.sites.push_back({site, s.rank, 1 / static_cast<double>(s.rank)});
  return spec;
}

int poly_logits(const std::vector<std::string>& arguments) {
  if (arguments.size() != 2) user_error("probe poly-logits SPEC.json OUT.safetensors");
  const json about = json::parse(read_file(arguments[0]));
  const auto base = load_base_model(*open_model(about.at("model"), ""), at::kFloat, at::kCPU, BaseUse::training);
  const std::string from = about.at("from");
  const PeftAdapter poly = read_peft(from, {PeftKind::poly});
  const PolySpec spec = spec_of(poly, base->sites());
  const at::Tensor values = inventory_values(poly, spec, from);
  const Microbatch batch = batch_by_task(about.at("tasks"), spec.tasks);
  PolyAdapter inventory(spec, values, {}, at::kFloat, at::kCPU);
  inventory.begin_evaluation();
  std::vector<at::Tensor> mixed, mean;
  for (int task = 0; task < spec.tasks; ++task) {
    mixed.push_back(mixed_adapter(spec, values, task));
    mean.push_back(averaged_skills(spec, values));
  }
  LoraAdapter of_tasks(spec.sites, mixed, at::kFloat, at::kCPU), of_mean(spec.sites, mean, at::kFloat, at::kCPU);
  const at::Tensor a = all_logits(*base, batch, inventory), b = all_logits(*base, batch, of_tasks),
                   c = all_logits(*base, batch, of_mean);
  std::ofstream(arguments[1], std::ios::binary)
      << safetensors_bytes({float_view("inventory", a), float_view("mixed", b), float_view("mean", c)});
  return 0;
}

const Register train("poly-train", poly_train);
const Register logits("poly-logits", poly_logits);

}  // namespace
}  // namespace gaggle::probe::poly
