// What PEFT folders of every method share: the keys of adapter_config.json, the modules these target, and the names
// of tensors.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "formats/peft.h"
#include "formats/python_regex.h"

namespace gaggle {

// A list of module paths or their endings, or one regex, or everything ("all-linear").
struct PeftModules {
  std::vector<std::string> endings;
  std::optional<PythonRegex> regex = {};
  bool all = false;
  bool matches(const std::string& module) const;
};

// What tells one kind of folder from another.
struct PeftForm {
  const char* type;                   // peft_type
  const char* what;                   // in sentences
  std::vector<std::string> suffixes;  // of a module's tensors, in the order of PeftSite::tensors
  std::set<std::string> keys;         // of its config, beside those of every method
};

namespace peft_parts {

using nlohmann::ordered_json;  // the order of rank_pattern's keys decides

inline constexpr const char* gate_suffix = ".gate";
inline const std::string tensor_prefix = "base_model.model.";

const PeftForm& form_of(PeftKind kind);

const ordered_json& value_of(const ordered_json& config, const char* key);  // null: not there
bool is_set(const ordered_json& value);          // null, false, "", [] and {} all mean: not used
std::string text_of(const ordered_json& value);  // "": no text
[[noreturn]] void mistyped(const std::string& file, const char* key, const ordered_json& value, const char* expected);
std::vector<std::string> texts(const ordered_json& value, const std::string& file, const char* key);
int64_t whole_number(const ordered_json& value, const std::string& file, const char* key);  // 1 … 65536
PeftModules modules(const ordered_json& config, const std::string& file, const char* key);

std::string ending_of(const std::string& module);  // "model.layers.0.self_attn.q_proj" → "q_proj"
std::string tensor_name(const std::string& module, const std::string& suffix);

}  // namespace peft_parts
}  // namespace gaggle
