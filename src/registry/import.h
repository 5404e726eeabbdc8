// PEFT folders in and out of a registry.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "formats/checkpoint.h"
#include "registry/new_version.h"

namespace gaggle {

// The shapes of the base that imported adapters are held against.
struct BaseShapes {
  BaseFingerprint fingerprint;  // content "": no weights were read
  std::vector<WeightInfo> weights;
};

// What is asked of the folders.
struct ImportOptions {
  std::vector<std::string> drop;   // parts outside the layers that are left out (open_peft)
  std::vector<std::string> tasks;  // names of an inventory's tasks, in the order of its routing table
};

// A PEFT folder (or one that open_peft brings to that form) as it would be committed, config and tensors as they are: a
// LoRA as an expert, with the gates of a folder that gaggle exported; Poly, IA3 and our Poly form of it as an
// inventory. An inventory's method and task names are those of an inventory.json beside; without one, "poly" or "mhr"
// by the heads ("shared" where there is no routing), and "task 0", "task 1", …. Throws UserError that says why it
// cannot be one of ours; writes nothing.
NewVersion read_import(const std::filesystem::path& folder, const std::string& name,
                       const std::optional<BaseShapes>& base, const ImportOptions& options = {});

// What an import did: a line for each folder, and how many were refused.
struct ImportReport {
  std::string text;
  size_t refused = 0;
};
// Reads and judges all folders, then commits those that are accepted; no registry is made for nothing. `name`: of a single
// folder, or "". `base`: a model whose shapes they are held against, or "".
ImportReport import_folders(const std::filesystem::path& registry, const std::vector<std::string>& folders,
                            const std::string& name, const std::string& base, bool accept_base,
                            const ImportOptions& options = {});

// A copy of a version (of an expert or an inventory) as a folder that loads in PEFT. Gates lie in a folder of their
// own, since other programs take every *.safetensors beside an adapter for a part of it. `base_path`: what the config
// calls its base; "": as it is. Throws UserError if `to` is there already, or where several kinds have that name
// (Registry::locate).
void export_version(const Registry& registry, const std::string& name, const std::filesystem::path& to,
                    const std::string& base_path = "");
// The skills of an inventory averaged (MHR-μ), as a plain PEFT LoRA or IA3.
void export_mean(const Registry& registry, const std::string& name, const std::filesystem::path& to,
                 const std::string& base_path = "");

}  // namespace gaggle
