// What `gaggle registry` prints of what is there: tables, one version's sidecar, what is wrong.
#pragma once

#include <string>
#include <vector>

#include "base/page.h"
#include "registry/registry.h"

namespace gaggle {

uint64_t bytes_of(const Version& version);  // of its files

// A table for each kind that there is something of, and a line for each collection; of `wanted` (registry/selection.h), or all.
Page listing_page(const Registry& registry, const std::vector<std::string>& wanted = {});
// The version's folder and its sidecar, a line for each value.
Page sidecar_page(const Version& version);
// What verify() complains of, or how many versions are sound; `where`: the registry's folder as it was asked for.
std::string soundness_block(const Registry& registry, const std::vector<std::string>& complaints,
                            const std::string& where, const std::vector<std::string>& wanted = {});

}  // namespace gaggle
