// PEFT folders in and out of a registry.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/page.h"
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
// cannot be one of ours; writes nothing. Warns of what may not be meant: a lora_B of zeros, target_modules without tensors,
// another base.
NewVersion read_import(const std::filesystem::path& folder, const std::string& name,
                       const std::optional<BaseShapes>& base, const ImportOptions& options = {});

// What an import did: a line for each folder, and how many were refused.
struct ImportReport {
  Page page;
  size_t refused = 0;
};
// Reads, judges and commits one folder after the other; no registry is made for nothing. `name`: of a single folder, or
// "". `base`: a model whose shapes they are held against, or "".
ImportReport import_folders(const std::filesystem::path& registry, const std::vector<std::string>& folders,
                            const std::string& name, const std::string& base, bool accept_base,
                            const ImportOptions& options = {});

}  // namespace gaggle
