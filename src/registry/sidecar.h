// expert.json: what is known of a version beside its tensors. Reading is forgiving: other keys may stand there.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "registry/registry.h"

namespace gaggle {

inline constexpr const char* sidecar_file = "expert.json";
inline constexpr const char* lora_file = "adapter_model.safetensors";
inline constexpr const char* lora_config_file = "adapter_config.json";
inline constexpr const char* gate_file = "gate.safetensors";

// The caller's JSON object with what every sidecar has: format, name, key, origin, lora (rank, sites), gated.
std::string complete_sidecar(const NewExpert& expert, int64_t rank, int64_t sites, bool gated);

// Throws UserError naming the file.
nlohmann::json read_sidecar(const std::filesystem::path& version_folder);
// The key of a version's item; "" where there is none or it cannot be read.
std::string key_of(const std::filesystem::path& version_folder);

ExpertInfo describe(const std::string& name, const std::filesystem::path& version_folder,
                    const BaseFingerprint& base);

}  // namespace gaggle
