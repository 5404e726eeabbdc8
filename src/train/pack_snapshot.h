// One checkpoint of several trainings that go through their steps together: the part of each under its key. They are
// written at once, since whoever goes on beside other members goes on to other bits.
#pragma once

#include <string>
#include <vector>

#include "train/checkpoint.h"

namespace gaggle {

struct KeyedSnapshot {
  std::string key;
  Snapshot snapshot;
};

// At the phase of all and the most steps of any. A single one without a key is itself.
Snapshot joined(std::vector<KeyedSnapshot> parts);
// The part of a key; nullopt: it is not in it.
std::optional<Snapshot> part_of(const Snapshot& pack, const std::string& key);

}  // namespace gaggle
