// Versions of one kind in a registry: all of them, one by its name, one by its key.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "registry/registry.h"

namespace gaggle {

struct Version {
  Kind kind = Kind::expert;
  std::string name, version;
  std::filesystem::path folder;
  bool current = false;
};

std::vector<Version> versions_of(const Registry& registry, Kind kind);  // in order of name and age
// "tomi" (its CURRENT version) or "tomi@v0001".
std::optional<Version> find_version(const Registry& registry, Kind kind, const std::string& text);
std::optional<Version> find_version_of_key(const Registry& registry, Kind kind, const std::string& name,
                                           const std::string& key);

// Fills what every kind has; returns the sidecar, in which the caller finds what its own kind has.
nlohmann::json describe(const Version& version, const BaseFingerprint& base, VersionInfo& info);

}  // namespace gaggle
