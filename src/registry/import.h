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

// A PEFT folder as it would be committed, config and tensors as they are: a LoRA as an expert, with the gates
// of a folder that gaggle exported; Poly, IA3 and our Poly form of it as an inventory. An inventory's method
// and task names are those of an inventory.json beside; without one, "poly" or "mhr" by the heads ("shared"
// where there is no routing), and "task 0", "task 1", …. Throws UserError that says why it cannot be one of
// ours; writes nothing. Warns of what may not be meant: a lora_B of zeros, target_modules without tensors, another
// base.
NewVersion read_import(const std::filesystem::path& folder, const std::string& name,
                       const std::optional<BaseShapes>& base);

// What an import did: a line for each folder, and how many were refused.
struct ImportReport {
  std::string text;
  size_t refused = 0;
};
// Reads, judges and commits one folder after the other; no registry is made for nothing. `name`: of a single folder, or
// "". `base`: a model whose shapes they are held against, or "".
ImportReport import_folders(const std::filesystem::path& registry, const std::vector<std::string>& folders,
                            const std::string& name, const std::string& base, bool accept_base);

// A copy of a version (of an expert or an inventory), as it was committed, as a folder that loads in PEFT. Throws UserError
// if `to` is there already or lies in the registry, where several kinds have that name (Registry::locate), or where a
// file is not what SHA256SUMS says.
void export_version(const Registry& registry, const std::string& name, const std::filesystem::path& to);
// A LoRA for readers that know one alpha: each site's scale in B, one rank, lora_alpha = r; fp32, without gates.
void export_scale_in_b(const Registry& registry, const std::string& name, const std::filesystem::path& to);
// The skills of an inventory averaged (MHR-μ), as a plain PEFT LoRA or IA3.
void export_mean(const Registry& registry, const std::string& name, const std::filesystem::path& to);
// A task's mixture of an inventory's skills, as it is scored, in the same form: by the task's row of the routing table,
// or by a routing row that was adapted alone. `task` "": of a routing row, or of an inventory of one task.
void export_mixture(const Registry& registry, const std::string& name, const std::string& task,
                    const std::filesystem::path& to);

}  // namespace gaggle
