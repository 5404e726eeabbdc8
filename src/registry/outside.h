// In what a folder outside differs from a version in a registry: where its gates lie, what it calls its base, what it
// does not say of its tasks.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "formats/peft.h"
#include "registry/new_version.h"

namespace gaggle {

// "…/out" of "out", "out/" and "sub/../out".
std::filesystem::path named_folder(const std::filesystem::path& path);

// Throws UserError that names `option`: something is there already, or it would lie in a registry, or cannot be written.
void check_new_folder(const std::filesystem::path& to, const std::string& option);
// Makes a folder that is there whole or not at all: `fill` writes into one beside it that is ours alone and is then renamed.
// Throws UserError as check_new_folder does.
void make_new_folder(const std::filesystem::path& to, const std::string& option,
                     const std::function<void(const std::filesystem::path& beside)>& fill);

// The gates beside an adapter: where a version has them, or where an export puts them. "": there are none. Throws
// UserError where both are there.
std::filesystem::path gates_in(const std::filesystem::path& folder);

// The tasks' names as `given`, by the user or an inventory.json (`where`): one for each row of the routing table. Throws
// UserError.
void check_task_names(const nlohmann::ordered_json& given, const PeftAdapter& skills, const std::string& where);

// What people should know of a folder that is accepted, each behind "; ": what was changed, and that its base had other
// weights.
std::string remarks_on(const NewVersion& version);

// A version's files, name → bytes, as they leave the registry: gates in a folder of their own, since other programs take
// every *.safetensors beside an adapter for a part of it, and the base called `base_path` unless that is "".
std::map<std::string, std::string> files_to_export(std::map<std::string, std::string> files,
                                                   const std::string& base_path);

}  // namespace gaggle
