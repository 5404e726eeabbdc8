// expert.json, routed.json, row.json: what is known of a version beside its tensors. Reading is forgiving:
// other keys may stand there.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "registry/registry.h"

namespace gaggle {

inline constexpr const char* lora_file = "adapter_model.safetensors";
inline constexpr const char* lora_config_file = "adapter_config.json";
inline constexpr const char* gate_file = "gate.safetensors";

// The caller's JSON object with what every sidecar has (format, name, key, origin) and with `own`, which is
// added last; as it is written.
std::string complete_sidecar(const std::string& name, const std::string& key, const std::string& given,
                             const nlohmann::ordered_json& own);

// Throws UserError naming the file.
nlohmann::json read_sidecar(const std::filesystem::path& version_folder, Kind kind);
// The key of a version's item; "" where there is none or it cannot be read.
std::string key_of(const std::filesystem::path& version_folder, Kind kind);

std::string text_at(const nlohmann::json& object, const char* key);       // "": no text there
int64_t number_at(const nlohmann::json& object, const char* key);         // 0: no whole number there
nlohmann::json object_at(const nlohmann::json& object, const char* key);  // empty: no object there

}  // namespace gaggle
