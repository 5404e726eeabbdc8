#include "registry/selection.h"

#include <fnmatch.h>

#include <algorithm>

#include "base/error.h"
#include "base/names.h"
#include "base/terminal.h"

namespace gaggle {
namespace {

bool fits(const std::string& pattern, const std::string& text) {
  return ::fnmatch(pattern.c_str(), text.c_str(), 0) == 0;
}

bool means(const std::string& word, const Version& version) {
  const std::string folder = std::string(words_of(version.kind).folder) + "/";
  const std::string pattern = word.starts_with(folder) ? word.substr(folder.size()) : word;
  return fits(pattern, pattern.find('@') == std::string::npos ? version.name : version.pin());
}

}  // namespace

std::vector<Version> selected(const Registry& registry, Kind kind, const std::vector<std::string>& wanted) {
  std::vector<Version> versions = registry.list(kind);
  if (!wanted.empty())
    std::erase_if(versions, [&](const Version& version) {
      return std::ranges::none_of(wanted, [&](const std::string& word) { return means(word, version); });
    });
  return versions;
}

void check_selection(const Registry& registry, const std::vector<std::string>& wanted) {
  for (const std::string& word : wanted) {
    std::vector<std::string> names;
    bool found = false;
    for (const Kind kind : all_kinds)
      for (const Version& version : registry.list(kind)) {
        found = found || means(word, version);
        if (std::ranges::count(names, version.name) == 0) names.push_back(version.name);
      }
    if (found) continue;
    const std::string near = nearest_name(word.substr(word.find('/') + 1), names);
    user_error("{}: nothing is called {} there ({})", registry.folder().string(), in_quotes(word),
               near.empty() ? "gaggle registry ls shows what is" : fmt::format("did you mean {}?", near));
  }
}

}  // namespace gaggle
