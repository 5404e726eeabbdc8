// Where things lie in a registry folder, how versions are named, and that no link is followed inside it.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gaggle {

// "tomi" or "tomi@v0002".
struct Pin {
  std::string name, version;  // version "": CURRENT
  std::string text() const { return version.empty() ? name : name + "@" + version; }
};
Pin parse_pin(const std::string& text, const char* what);  // throws UserError

// Where versions and files are written before they are renamed into place: .staging/, without what processes of this host
// that are gone have left there. Throws UserError where it is a link.
std::filesystem::path open_staging(const std::filesystem::path& registry);
// Writes a file of the registry by way of that. Throws SystemError.
void replace_file(const std::filesystem::path& registry, const std::filesystem::path& file, std::string_view bytes);

std::string version_name(int number);                        // 1 → "v0001"
std::optional<int> version_number(const std::string& name);  // nullopt: not a version's name

// Committed versions under KIND/NAME (experts/tomi, collections/demo, …), oldest first; empty where the folder
// is not there.
std::vector<std::string> versions_in(const std::filesystem::path& parent);
// Names of folders under experts/, collections/, … that hold a version, sorted.
std::vector<std::string> names_in(const std::filesystem::path& parent);

// What CURRENT says, if that version is there; else the newest version; nullopt: no version.
std::optional<std::string> current_version(const std::filesystem::path& parent);
void set_current(const std::filesystem::path& parent, const std::string& version);
// Moves CURRENT forward to the newest version; nothing is left to do where somebody removed the name meanwhile.
void advance_current(const std::filesystem::path& parent);

// Numbers of versions are never given twice: registry/removed/KIND/NAME keeps the newest that was removed under a name.
// `parent`: KIND/NAME in the registry. 0: none was removed. Throws UserError.
int last_removed(const std::filesystem::path& registry, const std::filesystem::path& parent);
// Before and after the versions in `folder` are removed: what stands under `parent`, or was moved away from there.
void keep_last_number(const std::filesystem::path& registry, const std::filesystem::path& parent,
                      const std::filesystem::path& folder);

// Throws UserError if `path` or a folder between `root` and it is a link; returns path.
const std::filesystem::path& without_links(const std::filesystem::path& root, const std::filesystem::path& path);

}  // namespace gaggle
