// Versions out of a registry, as folders that PEFT and others load.
#pragma once

#include <filesystem>
#include <string>

#include "formats/peft.h"
#include "registry/registry.h"

namespace gaggle {

struct ExportTarget {
  std::filesystem::path folder;  // new, outside the registry
  std::string base_path = {};    // what adapter_config.json calls its base; "": as it is
};

// A LoRA that was made of several versions, in fp32, with `sidecar` as its expert.json. Its modules are named by their
// whole paths, for which no base has to be at hand.
void export_lora(const PeftAdapter& lora, const std::string& sidecar, const ExportTarget& to);
// A copy of a version (of an expert or an inventory), as it was committed, as a folder that loads in PEFT. Throws UserError
// if `to` is there already or lies in the registry, where several kinds have that name (Registry::locate), or where a
// file is not what SHA256SUMS says.
void export_version(const Registry& registry, const std::string& name, const ExportTarget& to);
// A LoRA for readers that know one alpha: each site's scale in B, one rank, lora_alpha = r; fp32, without gates.
void export_scale_in_b(const Registry& registry, const std::string& name, const ExportTarget& to);
// The skills of an inventory averaged (MHR-μ), as a plain PEFT LoRA or IA3.
void export_mean(const Registry& registry, const std::string& name, const ExportTarget& to);
// A task's mixture of an inventory's skills, as it is scored, in the same form: by the task's row of the routing table,
// or by a routing row that was adapted alone. `task` "": of a routing row, or of an inventory of one task.
void export_mixture(const Registry& registry, const std::string& name, const std::string& task, const ExportTarget& to);

}  // namespace gaggle
