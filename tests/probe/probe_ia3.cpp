// probe ia3-train SPEC.json OUT: trains (IA)³ or its Poly form as SPEC says and writes OUT.safetensors (all its
// tensors) and OUT.json (loss per step). SPEC: model, method, tasks [[{input, target}]] by routing row, from (a
// folder; not set: l = 1), ranks, and numbers of the config.
// probe ia3-logits MODEL FOLDER "[[ids], …]" OUT.safetensors: "logits" [examples, vocab] of one sequence per
// task (of PEFT's own form: of every sequence) in evaluation.
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "library/inventory.h"
#include "probe/probe.h"
#include "probe/probe_skills.h"

namespace gaggle::probe::ia3 {
namespace {

using nlohmann::json;

Config ia3_config(const json& spec, int64_t examples) {
  Config config;
  config.poly.adapter = "ia3";
  config.poly.method = spec.at("method");
  config.poly.heads = spec.value("heads", 1);
  config.poly.skills = spec.value("skills", 1);
  config.poly.router_lr = spec.value("router_lr", 0.05);
  config.poly.init_from = spec.value("from", "");
  config.poly.sample = spec.value("sample", "none");
  config.train.lr = spec.at("lr");
  config.train.steps = spec.at("steps");
  config.train.batch_size = spec.value("batch_size", examples);
  config.train.weight_decay = spec.value("weight_decay", 0.0);
  config.train.tokens_per_microbatch = spec.value("tokens_per_microbatch", 24);
  return config;
}

int ia3_train(const std::vector<std::string>& arguments) {
  if (arguments.size() != 2) user_error("probe ia3-train SPEC.json OUT");
  const json spec = json::parse(read_file(arguments[0]));
  const std::vector<TokenTask> tasks = training_tasks(spec.at("tasks"));
  run_as_threads(spec.value("ranks", 1), 300, [&](Communicator& group) {
    const auto base = load_base_model(*open_model(spec.at("model"), ""), at::kFloat, at::kCPU, BaseUse::training);
    const Config config = ia3_config(spec, examples_of_all(tasks));
    const SkillsRecipe recipe =
        skills_recipe({config.run.seed, base->sites(), base->content_digest(), base->dtype()},
                      {config.data, config.lora, config.train, config.poly}, tasks, spec.value("lanes", 2));
    Ia3Adapter adapter(recipe.spec, recipe.start, recipe.schedule, at::kCPU);
    json losses = json::array();
    LoopHooks hooks;
    hooks.on_step = [&](const StepReport& r) { losses.push_back(r.loss); };
    const SkillsResult done = train_skills(*base, tasks, recipe, adapter, group, hooks, "nowhere");
    if (group.rank() == 0) write_trained(arguments[1], recipe.spec, done.values, losses);
  });
  return 0;
}

PolySpec folder_spec(const PeftAdapter& ia3, const std::vector<Site>& sites) {
  PolySpec spec;
  spec.skill = SkillKind::rescaling;
  spec.tasks = std::max<int64_t>(1, ia3.tasks), spec.skills = ia3.skills, spec.heads = ia3.heads;
  if (ia3.tasks == 0) spec.routing = Routing::uniform;
  for (const Site& site : sites)
    for (const PeftSite& s : ia3.sites)
      if (s.site == site.name) spec.sites.push_back({site, 1, 1});
  return spec;
}

int ia3_logits(const std::vector<std::string>& arguments) {
  if (arguments.size() != 4) user_error("probe ia3-logits MODEL FOLDER SEQUENCES OUT.safetensors");
  const PeftAdapter ia3 = read_peft(arguments[1], {PeftKind::ia3, PeftKind::poly_ia3});
  const auto base = load_base_model(*open_model(arguments[0], ""), at::kFloat, at::kCPU, BaseUse::training);
  const PolySpec spec = folder_spec(ia3, base->sites());
  Ia3Adapter adapter(spec, inventory_values(ia3, spec, arguments[1]), {}, at::kCPU);
  adapter.begin_evaluation();
  const Microbatch batch = batch_by_task(json::parse(arguments[2]), spec.tasks);
  const at::Tensor logits = all_logits(*base, batch, adapter);
  std::ofstream(arguments[3], std::ios::binary) << safetensors_bytes({float_view("logits", logits)});
  return 0;
}

const Register train("ia3-train", ia3_train);
const Register logits("ia3-logits", ia3_logits);

}  // namespace
}  // namespace gaggle::probe::ia3
