// Whether everything in a registry is what was committed.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/long_phase.h"
#include "base/names.h"
#include "base/table.h"
#include "formats/safetensors.h"
#include "registry/cache.h"
#include "registry/layout.h"
#include "registry/pins.h"
#include "registry/selection.h"
#include "registry/sums.h"
#include "registry/version_files.h"

namespace gaggle {
namespace {

// Things that do not belong: links, files, folders that are no version; CURRENT that names nothing.
void check_parent(const fs::path& parent, std::vector<std::string>& complaints) {
  for (const auto& entry : fs::directory_iterator(parent)) {
    const std::string name = entry.path().filename();
    if (entry.is_symlink())
      complaints.push_back(entry.path().string() + ": a link; links are not followed inside a registry");
    else if (!(entry.is_directory() && version_number(name)) && name != "CURRENT")
      complaints.push_back(entry.path().string() + ": neither a version nor CURRENT");
  }
  const fs::path current = parent / "CURRENT";
  const fs::file_status status = fs::symlink_status(current);
  if (fs::exists(status) && !fs::is_regular_file(status) && !fs::is_symlink(status))
    complaints.push_back(current.string() + ": not a file that names the version in use");
  if (fs::is_regular_file(status) && read_file(current) != current_version(parent).value_or("") + "\n")
    complaints.push_back(current.string() + ": names a version that is not there");
}

// A version joins `sound` if its sums are right: else it is complained of.
void keep_sound(const fs::path& version, std::vector<fs::path>& sound, std::vector<std::string>& complaints,
                LongPhase& phase) {
  const auto wrong = check_sums(version);
  complaints.insert(complaints.end(), wrong.begin(), wrong.end());
  if (wrong.empty()) sound.push_back(version);
  phase.add(wrong.empty() ? 1 : 2);
}

// Versions of every name under experts/, inventories/, … whose sums are right: the others are complained of.
std::vector<fs::path> sound_versions(const fs::path& root, std::vector<std::string>& complaints, LongPhase& phase) {
  std::vector<fs::path> sound;
  if (fs::is_symlink(fs::symlink_status(root))) complaints.push_back(root.string() + ": a link");
  if (!fs::is_directory(fs::symlink_status(root))) return sound;
  for (const auto& entry : fs::directory_iterator(root)) {
    if (entry.is_symlink() || !entry.is_directory()) {
      complaints.push_back(entry.path().string() + ": not a folder");
      continue;
    }
    check_parent(entry.path(), complaints);
    for (const std::string& version : versions_in(entry.path()))
      keep_sound(entry.path() / version, sound, complaints, phase);
  }
  return sound;
}

void check_pins(const Registry& registry, const Version& collection, std::vector<std::string>& complaints) {
  for (const PinnedExpert& pinned : read_pins(collection)) {
    try {
      pinned_expert(registry, collection, pinned);
    } catch (const UserError& error) {
      complaints.push_back(error_text(error));
    }
  }
}

void check_contents(const Registry& registry, Kind kind, const fs::path& folder, std::vector<std::string>& complaints) {
  const Version version{kind, folder.parent_path().filename(), folder.filename(), folder};
  check_name(version.name, words_of(kind).one);
  read_sidecar(version);
  if (kind == Kind::expert || kind == Kind::inventory) read_adapter(version);
  if (kind == Kind::expert) gate_bias_in(file_of(version, words_of(kind).sidecar));
  if (kind == Kind::routing_row) {
    parent_of(registry, version);
    read_routing_row(version);
  }
  if (kind == Kind::collection) return check_pins(registry, version, complaints);  // its gates are its experts'
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().extension() == ".safetensors")
      if (const std::string found = not_finite(SafetensorsFile(entry.path())); !found.empty())
        complaints.push_back(found);
}

}  // namespace

std::vector<std::string> Registry::verify(const std::vector<std::string>& wanted) const {
  check_selection(*this, wanted);
  std::vector<std::string> complaints;
  const auto attempt = [&](auto&& check) {
    try {
      check();
    } catch (const UserError& error) {
      complaints.push_back(error_text(error));
    }
  };
  attempt([&] { base(); });
  size_t versions = 0;
  for (const Kind kind : all_kinds) versions += selected(*this, kind, wanted).size();
  LongPhase phase("verifying " + plural(versions, "version"),
                  2 * static_cast<double>(versions));  // bytes, then contents
  for (Kind kind : all_kinds) {
    std::vector<fs::path> sound;
    if (wanted.empty())
      sound = sound_versions(folder_ / words_of(kind).folder, complaints, phase);
    else
      for (const Version& version : selected(*this, kind, wanted)) keep_sound(version.folder, sound, complaints, phase);
    for (const fs::path& folder : sound) {
      attempt([&] { check_contents(*this, kind, folder, complaints); });
      phase.add();
    }
  }
  attempt([&] {
    const auto wrong = wanted.empty() ? check_cache(*this) : std::vector<std::string>();
    complaints.insert(complaints.end(), wrong.begin(), wrong.end());
  });
  std::sort(complaints.begin(), complaints.end());
  return complaints;
}

}  // namespace gaggle
