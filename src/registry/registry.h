// The registry: a folder of experts, inventories, routing rows and collections that several jobs share. Layout:
// docs/registry.md. Every verb is the same for all kinds. Versions are staged, fsynced, renamed, never changed.
// No pickle, no links followed.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "registry/kind.h"

namespace gaggle {

struct BaseFingerprint {
  std::string name;     // for people
  std::string shapes;   // digest of names and shapes: a mismatch is refused
  std::string content;  // digest of the tensors' contents: a mismatch warns, and needs --accept-base to write
};

// A version that is there. Its files and its sidecar are read when they are asked for: registry/version_files.h.
struct Version {
  Kind kind = Kind::expert;
  std::string name, version;  // "tomi", "v0001"
  std::filesystem::path folder;
  bool current = false;
  std::string pin() const { return name + "@" + version; }
};

struct NewVersion;  // registry/new_version.h

class Registry {
 public:
  // Opens, or creates when `create`. Throws UserError: not a registry, another format, another base's shapes.
  static Registry open(const std::filesystem::path& folder, const std::optional<BaseFingerprint>& base, bool create,
                       bool accept_base = false);

  const std::filesystem::path& folder() const { return folder_; }
  BaseFingerprint base() const;  // content "": nobody with the base's weights has written yet

  // Every version of a kind, in order of name and age.
  std::vector<Version> list(Kind kind) const;
  // "tomi": its CURRENT version, or the newest where there is no CURRENT; or "tomi@v0001".
  std::optional<Version> find(Kind kind, const std::string& name) const;
  // The version of that name, current or not, whose work item had this key.
  std::optional<Version> find_key(Kind kind, const std::string& name, const std::string& key) const;
  // As find; throws UserError naming the nearest name, or the versions that are there.
  Version load(Kind kind, const std::string& name) const;
  // "copy", "copy@v0001" or, where several kinds have that name, "experts/copy". Throws UserError: not there
  // among these kinds, or ambiguous.
  Version locate(const std::string& text, const std::vector<Kind>& among = {all_kinds.begin(), all_kinds.end()}) const;

  // Stages, fsyncs, renames to the next version, whose number was never given, and moves CURRENT forward; returns the
  // version's number, "v0001". The same key committed by somebody else in between: compares tensor digests, drops the
  // copy, returns theirs. Without a key (imported): an equal version that is there already is returned.
  std::string commit(const NewVersion& version);
  // CURRENT := version, for an item whose result is there already (its recipe is the configured one once more), unless
  // CURRENT gives gates to that LoRA. Says what it does. Returns the version in use then.
  std::string make_current(Kind kind, const std::string& name, const std::string& version);
  // Pins the given experts (name or name@version; empty: all CURRENT but those that `gaggle adapt` made) as collection
  // `name`, whatever it pinned before; returns its version, the newest if that pins the same. Throws UserError, and
  // leaves nothing, where one of them is removed meanwhile.
  std::string collect(const std::string& name, const std::vector<std::string>& experts);

  // Reads everything: sums, CURRENT, tensors against their config, pins and parents; of `wanted` (registry/selection.h) the
  // versions that it selects alone. Returns the complaints, empty when sound.
  std::vector<std::string> verify(const std::vector<std::string>& wanted = {}) const;
  // What locate() finds, all versions of it; refused while a collection pins the expert or a routing row names
  // the inventory as its parent.
  void remove(const std::string& name);

 private:
  std::filesystem::path root_of(Kind kind) const;

  std::filesystem::path folder_;
};

}  // namespace gaggle
