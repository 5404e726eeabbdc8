// Which registry a command means. It is named in one way everywhere: by its folder, or by a config that names it, as the first
// argument or by --registry; without a word it is ./registry.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "config/config.h"

namespace gaggle {

bool is_config(const std::string& word);  // a .toml file, whether it is there or not

struct Where {
  std::string folder = "registry";
  bool named = false;
  std::optional<Config> config;  // that named it
  std::string no_registry;       // the word that might have, and is none
};

// Takes the first of `words` where that names a registry. `option`: of --registry, "" if it was not given. Throws UserError: both
// are there; keys of a config without one.
Where take_registry(const CLI::App& parser, std::vector<std::string>& words, const std::string& option,
                    const std::vector<std::string>& overrides);

// Throws UserError that says how to name one: there is no registry in the folder.
void need_registry(const CLI::App& parser, const Where& where);

}  // namespace gaggle
