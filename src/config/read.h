// TOML file + includes + command-line overrides → Config. All mistakes are reported at once.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "config/config.h"

namespace gaggle {

// Reads `file`, what it includes (`include = "base.toml"`, relative to the including file, the includer wins),
// then the overrides "section.key=value" (value: TOML, or a bare string). Paths in a file are relative to that
// file; paths in overrides to the working folder. Unknown and mistyped keys, values out of range: one UserError
// that lists all of them, each with file:line:column or the option and the nearest valid key.
Config read_config(const std::filesystem::path& file, const std::vector<std::string>& overrides);

// The resolved config as TOML that reads back to the same Config; every key with its help, unit and origin.
std::string print_config(const Config& config);

// Whether a key was given on the command line.
bool is_typed(const Config& config, const std::string& key);

// How the config is named in a command that goes on from this one: its file, and what of [run], [model], [data], [registry] and
// [eval] was given on the command line. "my.toml --registry.collection=zz", as a shell takes it.
std::string typed_again(const Config& config);

// Keys with help, choices and default, section by section: of `wanted` (sections, or whole keys), or all. For `gaggle help
// config`; no line is longer than `width`.
std::string config_keys_page(const std::vector<std::string>& wanted, size_t width);

// "section.key" of every key, for the nearest name to a mistyped option.
std::vector<std::string> config_key_names();

}  // namespace gaggle
