// Files that save time and are never needed: what was computed from a version's files. Each lies whole in
// registry/cache/, is known by a digest, and is made anew where it is gone or damaged.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "registry/registry.h"

namespace gaggle {

// What is kept of a collection's or an expert's version under a key, which says all that the contents follow from.
fs::path cache_file(const Registry& registry, const Version& version, const std::string& key);

// A sealed file (base/sha256.h); nullptr: none is there. A damaged one is named and removed.
std::unique_ptr<MappedFile> open_cache(const Registry& registry, const fs::path& file);
// Writes it for the next who asks. Where that cannot be, it says so and goes on.
bool keep_in_cache(const Registry& registry, const fs::path& file, const std::string& contents);

// Removes what is kept of versions that are not there any more.
void sweep_cache(const Registry& registry);
// What is wrong with the files that are there.
std::vector<std::string> check_cache(const Registry& registry);

}  // namespace gaggle
