#include "app/where.h"

#include "app/command.h"
#include "app/syntax.h"
#include "base/file.h"
#include "base/terminal.h"
#include "config/read.h"

namespace gaggle {
namespace {

bool is_registry(const std::string& folder) { return fs::exists(fs::path(folder) / "registry.json"); }

}  // namespace

bool is_config(const std::string& word) { return word.ends_with(".toml") && !fs::is_directory(word); }

Where take_registry(const CLI::App& parser, std::vector<std::string>& words, const std::string& option,
                    const std::vector<std::string>& overrides) {
  std::string name = option;
  if (!words.empty() && (is_config(words[0]) || is_registry(words[0]))) {
    if (!name.empty()) user_error("--registry {} and {}: name one registry", name, words[0]);
    name = words[0];
    words.erase(words.begin());
  }
  Where where;
  where.named = !name.empty();
  if (is_config(name)) {
    where.config = read_config(name, overrides);
    where.folder = where.config->registry.path;
    return where;
  }
  refuse_keys(parser, overrides);
  if (where.named) where.folder = name;
  if (!words.empty()) where.no_registry = words[0];
  return where;
}

void need_registry(const CLI::App& parser, const Where& where) {
  if (is_registry(where.folder)) return;
  const std::string how = typed(parser) + " FOLDER, or " + typed(parser) + " CONFIG, whose registry.path it is";
  const std::string nor = where.no_registry.empty() ? "" : ", nor is " + in_quotes(where.no_registry) + " one";
  if (!where.named) user_error("there is no registry in ./{}{}: name one: {}", where.folder, nor, how);
  if (where.config)
    user_error(
        "{}: no registry there (registry.json is missing), and {} says registry.path = \"{}\": nothing was trained "
        "or imported there yet",
        where.folder, where.config->file, where.folder);
  user_error("{}: no registry there (registry.json is missing); name another: {}", where.folder, how);
}

}  // namespace gaggle
