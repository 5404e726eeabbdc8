// What `gaggle registry` prints: tables of what is there, one version's sidecar, what an import did.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "registry/import.h"
#include "registry/registry.h"

namespace gaggle {

uint64_t bytes_of(const Version& version);  // of its files

// A table for each kind that there is something of, and a line for each collection.
std::string listing_text(const Registry& registry);
// The version's folder and its sidecar, a line for each value.
std::string version_text(const Version& version);
// What verify() complains of, or how many versions are sound; `where`: the registry's folder as it was asked
// for.
std::string verdict_text(const Registry& registry, const std::vector<std::string>& complaints,
                         const std::string& where);
// A line for each folder, then how many were accepted. Commits the accepted ones; `registry` is not used where
// there are none.
std::string import_all(Registry* registry, const std::vector<ImportedFolder>& folders,
                       const std::optional<BaseShapes>& base);

}  // namespace gaggle
