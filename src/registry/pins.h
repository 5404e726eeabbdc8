// What stands on what: the experts a collection pins, each with the digests of its files at that time, and the
// routing rows of an inventory.
#pragma once

#include <string>
#include <vector>

#include "registry/layout.h"
#include "registry/registry.h"

namespace gaggle {

struct PinnedExpert {
  Pin pin;
  std::string lora_sha256, gate_sha256;  // gate "": ungated
};

// The expert as it is now.
PinnedExpert pin_of(const Version& expert);
// collection.json of a collection's version, in the pinned order. Throws UserError naming the file.
std::vector<PinnedExpert> read_pins(const Version& collection);
// The expert that a collection pins, held against the digests of that time by its SHA256SUMS, one small file. Throws
// UserError: it is not there any more, or is not the one that was pinned.
Version pinned_expert(const Registry& registry, const Version& collection, const PinnedExpert& pinned);
// The experts that are routed through: those that a collection pins, NAME or NAME@version; or a list of their own, as
// all_in_use() gives it.
struct ExpertSet {
  std::string name;              // "demo@v0001"; of a list "all-experts@1a2b3c4d", by what it lists
  Version keeper;                // whose the files in the cache are
  std::vector<Version> experts;  // in the pinned order
};
ExpertSet members_of(const Registry& registry, const std::string& collection);
// "experts:tomi@v0001,…": the experts that are in use now but those that `gaggle adapt` made, for where no collection is named.
// Throws UserError: there are none.
std::string all_in_use(const Registry& registry);
// The names or pins of what a collection pins with `add` in place of those of the same name or after them, and without
// `drop`; those of `add` alone where there is no such collection yet. Throws UserError: what is kept is not there any
// more, what is dropped is not in it.
std::vector<std::string> grown(const Registry& registry, const std::string& collection,
                               const std::vector<std::string>& add, const std::vector<std::string>& drop = {});
// Makes a collection grow by these experts, also by what others add at the same time; returns its version.
std::string grow(Registry& registry, const std::string& collection, const std::vector<std::string>& add);
// " (added c; b at v0002, was v0001; dropped d)", or "" where nothing of it happened or there was nothing before.
std::string changes_text(const std::vector<PinnedExpert>& before, const std::vector<PinnedExpert>& now);
// Names of all experts but those that `gaggle adapt` made, which only join a collection when they are named.
std::vector<std::string> experts_to_collect(const Registry& registry);
// "name@version" of the collections that pin any version of the expert, or of the routing rows whose parent is
// any version of the inventory.
std::vector<std::string> holders_of(const Registry& registry, const Version& version);

}  // namespace gaggle
