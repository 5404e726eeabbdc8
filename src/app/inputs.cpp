#include "app/inputs.h"

#include <cstdlib>

#include "base/error.h"
#include "data/task.h"

namespace gaggle {
namespace {

TokenizeOptions tokenize_options(const Config& config) {
  std::string cache = config.registry.cache;
  if (cache.starts_with("~/")) {
    const char* home = std::getenv("HOME");
    cache = home ? std::string(home) + cache.substr(1) : "";
  }
  return {config.data.prompt,
          config.data.end,
          config.data.truncate,
          config.data.max_input_tokens,
          config.data.max_target_tokens,
          cache};
}

}  // namespace

Inputs load_inputs(const Config& config, const std::vector<std::string>& paths, int64_t limit_rows) {
  Inputs inputs;
  if (config.model.path.empty())
    user_error("model.path is not set: name a model folder, a .gguf file or a hub name");
  inputs.checkpoint = open_model(config.model.path, config.model.revision);
  inputs.tokenizer = load_tokenizer(inputs.checkpoint->path());
  if (paths.empty()) user_error("data.tasks is empty: name task files (.jsonl) or folders of them");
  for (const Task& task : load_tasks(paths, limit_rows))
    inputs.tasks.push_back(tokenize_task(task, *inputs.tokenizer, tokenize_options(config)));
  return inputs;
}

TokenTask load_one_task(const Config& config, const Tokenizer& tokenizer, const std::string& path) {
  const auto tasks = load_tasks({path}, config.data.limit_rows);
  GAGGLE_CHECK(tasks.size() == 1);
  return tokenize_task(tasks[0], tokenizer, tokenize_options(config));
}

std::unique_ptr<BaseModel> load_base(const Config& config, const Inputs& inputs, at::Device device,
                                     BaseUse use) {
  return load_base_model(*inputs.checkpoint, config.model.dtype, device, use);
}

BaseFingerprint fingerprint_of(const BaseModel& base) {
  return {base.spec().name, base.shape_digest(), base.content_digest()};
}

}  // namespace gaggle
