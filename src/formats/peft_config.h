// adapter_config.json of a PEFT LoRA: which modules it targets, and each one's rank and scale as PEFT has them.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "formats/peft_parts.h"

namespace gaggle {

struct PeftLoraConfig {
  PeftBase base;
  int64_t rank = 8;
  double alpha = 8;
  bool rslora = false;
  // In the file's order: the first pattern that matches a module counts.
  std::vector<std::pair<PythonRegex, int64_t>> rank_pattern;
  std::vector<std::pair<PythonRegex, double>> alpha_pattern;

  PeftModules target_modules, exclude_modules;
  std::vector<int64_t> layers_to_transform;  // with a list of target_modules only; empty: all
  std::vector<PythonRegex> layers_pattern;
};

// Throws UserError that names `file` and the key: what PEFT knows but a plain LoRA cannot express (DoRA,
// modules_to_save, …) and what is malformed. Keys that are not known are warned of.
PeftLoraConfig parse_peft_config(const nlohmann::ordered_json& config, const std::string& file);

bool targets(const PeftLoraConfig& config, const std::string& module);
int64_t rank_of(const PeftLoraConfig& config, const std::string& module);
double scale_of(const PeftLoraConfig& config, const std::string& module);

}  // namespace gaggle
