// One TOML value into one field of a Config: type, range, choices, and what relative paths mean.
#pragma once

#include <toml++/toml.h>

#include <filesystem>
#include <string>

#include "config/schema.h"

namespace gaggle {

// Returns a complaint, or "" when the value was taken. Relative paths are relative to `folder`. Tables
// (gate.tasks) are merged entry by entry, so that an includer adds to what it includes. One value where a list
// belongs is a list of it.
std::string assign_value(const Key& key, const toml::node& node, const std::filesystem::path& folder, Config& config);

// The same of a value on a command line: as TOML where it is, else as bare text. Lists may be written a,b,c, and text needs
// no quotes.
std::string assign_text(const Key& key, const std::string& text, Config& config);

// What nobody set: "~/…" in paths, and poly.heads, 1 where the method has no heads.
void resolve_defaults(Config& config);

}  // namespace gaggle
