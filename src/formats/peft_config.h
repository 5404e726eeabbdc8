// adapter_config.json of a PEFT folder: which modules it targets, and the sizes there, as PEFT resolves them.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "formats/peft_parts.h"

namespace gaggle {

struct PeftConfig {
  PeftKind kind = PeftKind::lora;
  PeftBase base;
  int64_t rank = 8;                          // r
  int64_t tasks = 0, skills = 1, heads = 1;  // as in PeftAdapter
  PeftModules target_modules, exclude_modules, feedforward_modules;

  // Of a LoRA alone. Patterns in the file's order: the first that matches a module counts.
  double alpha = 8;
  bool rslora = false;
  std::vector<std::pair<PythonRegex, int64_t>> rank_pattern;
  std::vector<std::pair<PythonRegex, double>> alpha_pattern;
  std::vector<int64_t> layers_to_transform;  // with a list of target_modules only; empty: all
  std::vector<PythonRegex> layers_pattern;
};

// Throws UserError that names `file` and the key: what PEFT knows but a plain adapter cannot express (DoRA,
// modules_to_save, …), a method of none of `kinds`, and what is malformed: truth is true or false, numbers are
// numbers.
PeftConfig parse_peft_config(const nlohmann::ordered_json& config, const std::string& file,
                             const std::vector<PeftKind>& kinds);

// Warns of keys that are set and not known.
void warn_of_unknown_keys(const nlohmann::ordered_json& config, const std::string& file, PeftKind kind);

bool targets(const PeftConfig& config, const std::string& module);
int64_t rank_of(const PeftConfig& config, const std::string& module);
double scale_of(const PeftConfig& config, const std::string& module);

}  // namespace gaggle
