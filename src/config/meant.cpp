#include "config/meant.h"

#include <algorithm>

#include "base/error.h"
#include "base/names.h"
#include "config/read.h"
#include "config/schema.h"

namespace gaggle {

const std::vector<KeySynonym> key_synonyms = {
    {"learning_rate", "train.lr"},
    {"learning_rate", "gate.lr"},
    {"learning_rate", "adapt.lr"},
    {"num_train_epochs", "train.epochs"},
    {"num_epochs", "train.epochs"},
    {"epoch", "train.epochs"},
    {"max_steps", "train.steps"},
    {"max_steps", "gate.steps"},
    {"num_steps", "train.steps"},
    {"batch", "train.batch_size"},
    {"train_batch_size", "train.batch_size"},
    {"per_device_train_batch_size", "train.batch_size"},
    {"gradient_accumulation_steps", "train.tokens_per_microbatch"},
    {"micro_batch_size", "train.tokens_per_microbatch"},
    {"warmup_ratio", "train.warmup"},
    {"warmup_steps", "train.warmup"},
    {"warmup_proportion", "train.warmup"},
    {"lr_scheduler_type", "train.schedule"},
    {"lr_scheduler", "train.schedule"},
    {"scheduler", "train.schedule"},
    {"optim", "train.optimizer"},
    {"wd", "train.weight_decay"},
    {"max_grad_norm", "train.clip"},
    {"grad_clip", "train.clip"},
    {"gradient_checkpointing", "train.recompute"},
    {"label_smoothing_factor", "train.label_smoothing"},
    {"eval_steps", "train.validate_every"},
    {"save_steps", "checkpoint.every"},
    {"save_total_limit", "checkpoint.keep"},
    {"r", "lora.rank"},
    {"r", "poly.rank"},
    {"lora_r", "lora.rank"},
    {"lora_rank", "lora.rank"},
    {"lora_alpha", "lora.alpha"},
    {"target_modules", "lora.targets"},
    {"modules", "lora.targets"},
    {"n_skills", "poly.skills"},
    {"num_skills", "poly.skills"},
    {"n_splits", "poly.heads"},
    {"num_heads", "poly.heads"},
    {"k", "eval.top_k"},
    {"topk", "eval.top_k"},
    {"n_shots", "eval.shots"},
    {"num_fewshot", "eval.shots"},
    {"num_beams", "eval.beams"},
    {"limit", "eval.limit_examples"},
    {"max_length", "data.max_input_tokens"},
    {"max_seq_length", "data.max_input_tokens"},
    {"max_input_length", "data.max_input_tokens"},
    {"max_output_length", "data.max_target_tokens"},
    {"max_target_length", "data.max_target_tokens"},
    {"template", "data.prompt"},
    {"chat_template", "data.prompt"},
    {"eos_token", "data.end"},
    {"train_file", "data.tasks"},
    {"dataset", "data.tasks"},
    {"model_name_or_path", "model.path"},
    {"model_name", "model.path"},
    {"torch_dtype", "model.dtype"},
    {"precision", "model.dtype"},
    {"load_in_8bit", "model.storage"},
    {"load_in_4bit", "model.storage"},
    {"output_dir", "run.dir"},
    {"run_name", "run.name"},
    {"num_threads", "run.threads"},
};

std::vector<std::string> keys_meant(std::string_view typed) {
  std::string text(typed);
  std::ranges::replace(text, '-', '_');
  const size_t dot = text.find('.');
  const std::string section = dot == std::string::npos ? "" : text.substr(0, dot + 1);
  const std::string word = text.substr(section.size());
  std::vector<std::string> meant;
  for (const Key& key : config_keys())
    if (key.name == word) meant.push_back(key.full());
  if (meant.empty())
    for (const KeySynonym& synonym : key_synonyms)
      if (synonym.word == word) meant.emplace_back(synonym.key);
  const auto named = std::ranges::find_if(meant, [&](const std::string& key) { return key.starts_with(section); });
  return section.empty() || named == meant.end() ? meant : std::vector<std::string>{*named};
}

std::string did_you_mean_key(std::string_view typed, std::string_view prefix) {
  std::vector<std::string> meant = keys_meant(typed);
  if (meant.empty()) meant.push_back(nearest_name(typed, config_key_names()));
  if (meant[0].empty()) return "";
  for (std::string& key : meant) key.insert(0, prefix);
  return fmt::format(" (did you mean {}?)", join(meant, " or "));
}

}  // namespace gaggle
