// probe train SPEC.json OUT: trains one expert as SPEC says and writes OUT.safetensors (lora/…, gate/…) and
// OUT.json (losses per step, both phases; metrics). SPEC: model, rows [{input, target}], numbers of the config.
#include <fstream>
#include <nlohmann/json.hpp>

#include "adapter/gate.h"
#include "base/error.h"
#include "base/file.h"
#include "formats/safetensors.h"
#include "model/hardware.h"
#include "probe/probe.h"
#include "probe/probe_examples.h"
#include "train/expert.h"

namespace gaggle::probe {
namespace {

using nlohmann::json;

Config config_of(const json& spec) {
  Config config;
  config.lora.rank = spec.value("rank", 4);
  config.lora.alpha = spec.value("alpha", 1.0);
  config.lora.init_from = spec.value("init_from", "");
  config.train.steps = spec.value("steps", 30);
  config.train.batch_size = spec.at("rows").size();
  config.train.lr = spec.value("lr", 5e-3);
  config.train.warmup = spec.value("warmup", 0.06);
  config.train.schedule = spec.value("schedule", "constant");
  config.train.weight_decay = spec.value("weight_decay", 0.0);
  config.train.clip = spec.value("clip", 1.0);
  config.train.lanes = spec.value("lanes", 1);
  config.train.loss_average = spec.value("loss_average", "token");
  config.train.tokens_per_microbatch = spec.value("tokens_per_microbatch", 64);
  config.gate.steps = spec.value("gate_steps", 30);
  config.gate.lr = spec.value("gate_lr", 5e-3);
  config.gate.bias = spec.value("gate_bias", 0.0);
  return config;
}

TokenTask task_of(const json& spec) {
  TokenTask task;
  task.name = "probe";
  for (const json& example : spec.at("rows")) task.splits[0].push_back(token_example(example));
  return task;
}

void put(std::vector<TensorView>& views, const ParameterLayout& layout, const std::string& kind,
         const at::Tensor& flat) {
  for (const ParameterInfo& t : layout.tensors())
    views.push_back({kind + "/" + t.name,
                     DType::f32,
                     t.shape,
                     {reinterpret_cast<const std::byte*>(flat.const_data_ptr<float>() + t.offset),
                      static_cast<size_t>(t.count) * sizeof(float)}});
}

int run_train(const std::vector<std::string>& arguments) {
  if (arguments.size() != 2) user_error("probe train SPEC.json OUT");
  const json spec = json::parse(read_file(arguments[0]));
  const Config config = config_of(spec);
  const TokenTask task = task_of(spec);
  run_as_threads(spec.value("ranks", 1), 300, [&](Communicator& group) {
    const auto base =
        load_base_model(*open_model(spec.at("model"), ""), resolve_dtype(spec.value("dtype", "fp32"), at::kCPU),
                        at::kCPU, BaseUse::training);
    const Recipe recipe =
        expert_recipe({config.run.seed, base->sites(), base->content_digest(), base->dtype()},
                      {config.lora, config.train, config.gate, config.cluster.ranks_per_expert}, task);
    json losses = {{"lora", json::array()}, {"gate", json::array()}};
    LoopHooks hooks;
    hooks.on_step = [&](const StepReport& r) { losses[r.phase].push_back(r.loss); };
    const ExpertResult done = train_expert(*base, task, recipe, group, hooks, {});
    if (group.rank() != 0) return;
    std::vector<TensorView> views;
    put(views, lora_layout(recipe.sites), "lora", done.lora);
    put(views, gate_layout(recipe.sites), "gate", done.gate);
    std::ofstream(arguments[1] + ".safetensors", std::ios::binary) << safetensors_bytes(views);
    losses["metrics"] = done.metrics;
    std::ofstream(arguments[1] + ".json") << losses.dump();
  });
  return 0;
}

const Register train("train", run_train);

}  // namespace
}  // namespace gaggle::probe
