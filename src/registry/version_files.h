// The files of a version: its sidecar (expert.json, inventory.json, …), which says what is known beside its
// tensors, and the adapter. Reading a sidecar is forgiving: other keys may stand there.
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "formats/peft.h"
#include "registry/registry.h"

namespace gaggle {

inline constexpr const char* adapter_config_file = "adapter_config.json";
inline constexpr const char* adapter_file = "adapter_model.safetensors";
inline constexpr const char* gate_file = "gate.safetensors";
inline constexpr const char* exported_gate_file = "gates/gate.safetensors";  // in a folder that was exported
inline constexpr const char* routing_row_file = "routing_row.safetensors";

// The path of one of a version's files. Throws UserError if it is a link.
std::filesystem::path file_of(const Version& version, const char* name);

// Throws UserError naming the file.
nlohmann::json read_sidecar(const std::filesystem::path& version_folder, Kind kind);
nlohmann::json read_sidecar(const Version& version);
// The key of a version's item; "" where there is none or it cannot be read.
std::string key_of(const std::filesystem::path& version_folder, Kind kind);
// "tomi@v0001" of what a version was made from; empty where that is nothing or cannot be read.
std::vector<std::string> parents_of(const std::filesystem::path& version_folder, Kind kind);
// SHA-256 of its SHA256SUMS, which names a version with everything in it; "": it has none.
std::string digest_of(const Version& version);
bool is_gated(const Version& expert);
// b of σ(v·x + b) that an expert's gates were trained with, under this key of its sidecar `file`; 0: nothing is said, or no
// such file is there. Throws UserError: no number between -20 and 20.
inline constexpr const char* gate_bias_key = "gate_bias";
double gate_bias_in(const std::filesystem::path& file);
// The category of the task that an expert was trained on, likewise; "": nothing is said.
inline constexpr const char* category_key = "category";
std::string category_in(const std::filesystem::path& file);

std::string text_at(const nlohmann::json& object, const char* key);       // "": no text there
int64_t number_at(const nlohmann::json& object, const char* key);         // 0: no whole number there
nlohmann::json object_at(const nlohmann::json& object, const char* key);  // empty: no object there

// Names of an inventory's tasks, in the order of its routing table. Throws UserError.
std::vector<std::string> tasks_of(const Version& inventory);
// The adapter of an expert (with its gates) or of an inventory. Throws UserError: of another kind, files that
// do not fit each other.
PeftAdapter read_adapter(const Version& version);
// The inventory that a routing row was made for. Throws UserError: gone, or not the one that the row was made from.
Version parent_of(const Registry& registry, const Version& routing_row);

// Every tensor of a safetensors file, and the bytes of such a file, in order of name.
std::vector<NamedTensor> read_tensors(const std::filesystem::path& file);
// Throws NotFinite that begins with `what` where a tensor of a version's files (name → bytes) is not finite.
void require_finite(const std::map<std::string, std::string>& files, const std::string& what);
std::string tensor_file_bytes(const std::vector<NamedTensor>& tensors);
std::string tensor_file_bytes(std::vector<TensorView> tensors);
// Those of a routing row, "<router group>.poly_router.module_logits" fp32 [1, heads · skills]. Throws
// UserError: another type.
std::vector<NamedTensor> read_routing_row(const Version& routing_row);

}  // namespace gaggle
