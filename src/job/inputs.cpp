#include "job/inputs.h"

#include <algorithm>
#include <cstdlib>
#include <set>

#include "base/error.h"
#include "base/log.h"
#include "base/long_phase.h"
#include "base/table.h"
#include "cluster/stop.h"
#include "data/task.h"
#include "job/shared_base.h"
#include "model/hardware.h"
#include "model/memory.h"

namespace gaggle {
namespace {

// [data]'s rules for this model.
TokenizeOptions tokenize_options(const Config& config, const ModelSpec& spec, const std::function<void()>& heed) {
  std::string truncate = config.data.truncate;
  if (truncate == "auto") truncate = spec.encoder_decoder() ? "right" : "left";
  return {config.data.prompt,
          config.data.end,
          truncate,
          config.data.max_input_tokens,
          config.data.max_target_tokens,
          cache_folder(config),
          spec.decoder_start,
          spec.vocab,
          heed};
}

// That are taken of them.
double examples_of(const std::vector<Task>& tasks, int64_t limit) {
  size_t examples = 0;
  for (const Task& task : tasks)
    for (const auto& split : task.splits)
      examples += limit == 0 ? split.size() : std::min(split.size(), static_cast<size_t>(limit));
  return static_cast<double>(examples);
}

}  // namespace

std::string cache_folder(const Config& config) {
  const std::string& cache = config.registry.cache;
  if (!cache.starts_with("~/")) return cache;
  const char* home = std::getenv("HOME");
  return home ? std::string(home) + cache.substr(1) : "";
}

TokenTask tokenized(const Config& config, const Inputs& inputs, const Task& task, const std::function<void()>& heed) {
  return tokenize_task(task, *inputs.tokenizer, tokenize_options(config, inputs.checkpoint->spec(), heed));
}

Inputs open_inputs(const Config& config) {
  Inputs inputs;
  if (config.model.path.empty()) user_error("model.path is not set: name a model folder, a .gguf file or a hub name");
  inputs.checkpoint = open_model(config.model.path, config.model.revision);
  inputs.tokenizer = load_tokenizer(inputs.checkpoint->path());
  return inputs;
}

Inputs load_inputs(const Config& config, const std::vector<std::string>& paths, int64_t limit,
                   const ShotOptions& shots) {
  Inputs inputs = open_inputs(config);
  if (paths.empty()) user_error("data.tasks is empty: name task files (.jsonl) or folders of them");
  // Shots are of the whole split, so that an example has the same ones under any limit.
  std::vector<Task> tasks = load_tasks(paths, shots.count > 0 ? 0 : limit, heed_stop_requests);
  int64_t shots_left_out = 0;
  // A chat format that the model was not trained with is the user's to choose, but not to choose unseen. Once for all
  // tasks that say the same.
  std::set<std::string> said;
  LongPhase phase("tokenising " + plural(tasks.size(), "task"), examples_of(tasks, limit));
  const auto after_each = [&] {
    heed_stop_requests();
    phase.add();
  };
  for (Task& task : tasks) {
    give_shots(task, shots);
    limit_examples(task, limit);
    const TokenTask& tokens = inputs.tasks.emplace_back(tokenized(config, inputs, task, after_each));
    shots_left_out += tokens.shots_left_out;
    if (!tokens.foreign_format.empty() && said.insert(tokens.foreign_format).second)
      log::warning("{}", tokens.foreign_format);
  }
  if (shots_left_out > 0)
    log::warning("{} shots are left out, for prompts keep within data.max_input_tokens = {}",
                 with_commas(shots_left_out), config.data.max_input_tokens);
  return inputs;
}

Inputs load_scored_inputs(const Config& config, Split split) {
  const EvalConfig& eval = config.eval;
  const ShotOptions shots{eval.shots, split_named(eval.shots_split, "eval.shots_split"), split, config.run.seed};
  return load_inputs(config, eval.tasks.empty() ? config.data.tasks : eval.tasks, eval.limit_examples, shots);
}

TokenTask load_one_task(const Config& config, const Inputs& inputs, const std::string& path) {
  const auto tasks = load_tasks({path}, config.data.limit_examples, heed_stop_requests);
  GAGGLE_CHECK(tasks.size() == 1);
  return tokenized(config, inputs, tasks[0], heed_stop_requests);
}

std::map<std::string, TokenTask> tasks_of_experts(const Config& config, const Inputs& inputs) {
  std::map<std::string, TokenTask> tasks;
  for (const TokenTask& task : inputs.tasks) tasks[task.name] = task;
  for (const auto& [expert, path] : config.gate.tasks) tasks[expert] = load_one_task(config, inputs, path);
  return tasks;
}

std::unique_ptr<BaseModel> load_base(const Config& config, const Inputs& inputs, const Session& session, BaseUse use,
                                     int64_t together) {
  const ModelSpec& spec = inputs.checkpoint->spec();
  if (!inputs.checkpoint->has_weights())
    user_error(
        "{}: there is config.json, but no weights: model.safetensors or pytorch_model.bin, "
        "or the index of their parts, is looked for. "
        "--dry-run of gaggle experts or gaggle pretrain says what a run would cost",
        inputs.checkpoint->path().string());
  if (config.train.dropout > 0 && !spec.encoder_decoder())
    user_error("train.dropout = {:g}: a {} model has no dropout of its own; only T5 was trained with one",
               config.train.dropout, spec.model_type);
  const at::ScalarType dtype = resolve_dtype(config.model.dtype, session.device);
  const Storage storage = storage_named(config.model.storage);
  ShardGroup ranks = ranks_of_a_base(config, session, together);
  refuse_if_too_large(memory_need(*inputs.checkpoint, dtype, session.device, use, storage, ranks.size),
                      session.free_memory, dtype, session.device, spec.name);
  return load_base_model(*inputs.checkpoint, dtype, session.device, use, storage, std::move(ranks));
}

BaseFingerprint fingerprint_of(const BaseModel& base) {
  return {base.spec().name, base.shape_digest(), base.content_digest()};
}

}  // namespace gaggle
