// PEFT folders in and out of a registry.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "formats/checkpoint.h"
#include "registry/registry.h"
#include "registry/routed.h"

namespace gaggle {

// The shapes of the base that imported experts are held against.
struct BaseShapes {
  BaseFingerprint fingerprint;  // content "": no weights were read
  std::vector<WeightInfo> weights;
};
BaseShapes base_shapes(const ModelCheckpoint& model);

// A PEFT LoRA folder as it would be committed: config and tensors as they are, with the gates of a folder that
// gaggle exported. Throws UserError that says why it cannot be one of our experts; writes nothing.
NewExpert read_import(const std::filesystem::path& folder, const std::string& name,
                      const std::optional<BaseShapes>& base);
// Whether a folder is one of PEFT's Poly, of its IA3, or of our Poly form of that.
bool holds_routed(const std::filesystem::path& folder);
// The same of such a folder. Method and task names are those of a routed.json beside; without one, "poly" or
// "mhr" by the heads ("shared" where there is no routing), and "task 0", "task 1", ….
NewRouted read_routed_import(const std::filesystem::path& folder, const std::string& name,
                             const std::optional<BaseShapes>& base);

// A copy of a version (of an expert or a routed adapter) as a folder that loads in PEFT. Throws UserError if
// `to` is there already, or where several kinds have that name (Registry::locate).
void export_version(const Registry& registry, const std::string& name, const std::filesystem::path& to);
// The skills of a routed adapter averaged (MHR-μ), as a plain PEFT LoRA or IA3.
void export_mean(const Registry& registry, const std::string& name, const std::filesystem::path& to);

}  // namespace gaggle
