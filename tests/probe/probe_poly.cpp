// probe poly-train SPEC.json OUT: trains an inventory as SPEC says and writes OUT.safetensors (its tensors) and
// OUT.json (loss per step). SPEC: model, from (a PEFT Poly folder), tasks [[{input, target}]] by routing row,
// and numbers of the config.
// probe poly-logits SPEC.json OUT.safetensors: logits of a folder's tasks in evaluation, [rows, vocab] of all
// sequences one after the other: "inventory" of one pass over all, "mixed" of each task's mixed adapter, "mean"
// of the averaged skills. SPEC: model, from, tasks [[ids]].
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>

#include "adapter/poly_peft.h"
#include "base/error.h"
#include "base/file.h"
#include "formats/safetensors.h"
#include "probe/probe.h"
#include "train/routed.h"

namespace gaggle::probe::poly {
namespace {

using nlohmann::json;

Config config_of(const json& spec, int64_t rows) {
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
  config.train.batch_size = rows;
  config.train.warmup = spec.at("warmup");
  config.train.schedule = spec.at("schedule");
  config.train.weight_decay = spec.at("weight_decay");
  config.train.clip = spec.at("clip");
  config.train.label_smoothing = spec.at("label_smoothing");
  config.train.tokens_per_microbatch = spec.at("tokens_per_microbatch");
  return config;
}

TensorView view_of(const std::string& name, const at::Tensor& values) {
  return {name,
          DType::f32,
          values.sizes().vec(),
          {static_cast<const std::byte*>(values.const_data_ptr()), values.nbytes()}};
}

int poly_train(const std::vector<std::string>& arguments) {
  if (arguments.size() != 2) user_error("probe poly-train SPEC.json OUT");
  const json spec = json::parse(read_file(arguments[0]));
  std::vector<TokenTask> tasks;
  int64_t rows = 0;
  for (const json& task : spec.at("tasks")) {
    tasks.emplace_back().name = fmt::format("task {}", tasks.size());
    for (const json& row : task)
      tasks.back().splits[0].push_back({"", row.at("input"), row.at("target"), {}, -1, false}), ++rows;
  }
  const auto base = load_base_model(*open_model(spec.at("model"), ""), "fp32", at::kCPU, BaseUse::training);
  const Config config = config_of(spec, rows);
  const RoutedRecipe recipe =
      routed_recipe({config, base->sites(), base->content_digest(), base->dtype()}, tasks, spec.at("lanes"));
  PolyAdapter adapter(recipe.spec, recipe.start, recipe.schedule, base->dtype(), at::kCPU);
  json losses = json::array();
  LoopHooks hooks;
  hooks.on_step = [&](const StepReport& r) { losses.push_back(r.loss); };
  const auto self = make_self();
  const RoutedResult done = train_routed(*base, tasks, recipe, adapter, *self, hooks, "nowhere");
  const ParameterLayout layout = poly_layout(recipe.spec);
  std::vector<TensorView> views;
  for (const ParameterInfo& t : layout.tensors()) views.push_back(view_of(t.name, layout.view(done.values, t)));
  std::ofstream(arguments[1] + ".safetensors", std::ios::binary) << safetensors_bytes(views);
  std::ofstream(arguments[1] + ".json") << losses.dump();
  return 0;
}

PolySpec spec_of(const PeftPoly& poly, const std::vector<Site>& sites) {
  PolySpec spec;
  spec.tasks = poly.tasks, spec.skills = poly.skills, spec.heads = poly.heads;
  for (const Site& site : sites)
    for (const PeftPolySite& s : poly.sites)
      if (s.site == site.name) spec.sites.push_back({site, s.rank, 1 / static_cast<double>(s.rank)});
  return spec;
}

Rows rows_of(const json& tasks) {
  Rows rows;
  rows.starts = {0};
  for (size_t t = 0; t < tasks.size(); ++t) {
    const int64_t begin = rows.count();
    const std::vector<int32_t> ids = tasks[t];
    rows.ids.insert(rows.ids.end(), ids.begin(), ids.end());
    for (size_t i = 0; i < ids.size(); ++i) rows.positions.push_back(static_cast<int32_t>(i));
    rows.starts.push_back(rows.count());
    rows.segments.push_back({static_cast<int>(t), begin, rows.count()});
  }
  return rows;
}

int poly_logits(const std::vector<std::string>& arguments) {
  if (arguments.size() != 2) user_error("probe poly-logits SPEC.json OUT.safetensors");
  const json about = json::parse(read_file(arguments[0]));
  const auto base = load_base_model(*open_model(about.at("model"), ""), "fp32", at::kCPU, BaseUse::training);
  const std::string from = about.at("from");
  const PeftPoly poly = read_peft_poly(from);
  const PolySpec spec = spec_of(poly, base->sites());
  const at::Tensor values = poly_from_peft(poly, spec, from);
  const Rows rows = rows_of(about.at("tasks"));
  std::vector<int64_t> all(static_cast<size_t>(rows.count()));
  std::iota(all.begin(), all.end(), 0);
  const auto logits = [&](SiteAdapter& adapter) {
    return base->logits(base->forward(rows, &adapter, nullptr), all).contiguous();
  };
  PolyAdapter inventory(spec, values, {}, at::kFloat, at::kCPU);
  inventory.begin_evaluation();
  std::vector<at::Tensor> mixed, mean;
  for (int task = 0; task < spec.tasks; ++task) {
    mixed.push_back(mixed_adapter(spec, values, task));
    mean.push_back(averaged_skills(spec, values));
  }
  LoraAdapter of_tasks(spec.sites, mixed, at::kFloat, at::kCPU),
      of_mean(spec.sites, mean, at::kFloat, at::kCPU);
  const at::Tensor a = logits(inventory), b = logits(of_tasks), c = logits(of_mean);
  std::ofstream(arguments[1], std::ios::binary)
      << safetensors_bytes({view_of("inventory", a), view_of("mixed", b), view_of("mean", c)});
  return 0;
}

const Register train("poly-train", poly_train);
const Register logits("poly-logits", poly_logits);

}  // namespace
}  // namespace gaggle::probe::poly
