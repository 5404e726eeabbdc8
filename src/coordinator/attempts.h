// The attempts at an item, work/items/KEY/GEN/: checkpoints of each, and failed.json where one failed; and
// aside/KEY.json, where it was set aside.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"

namespace gaggle {

// `folder` is a registry or a run folder.
fs::path attempts_folder(const fs::path& folder, const std::string& key);  // work/items/KEY
fs::path item_folder(const fs::path& folder, const std::string& key, int generation);
// Folders of generations below `generation`, newest first.
std::vector<fs::path> earlier_folders(const fs::path& folder, const std::string& key, int generation);

fs::path aside_file(const fs::path& folder, const std::string& key);
// The reason of an item that was set aside.
std::optional<std::string> why_aside(const fs::path& folder, const std::string& key);

// Whether an attempt wrote a checkpoint: a folder with the marker COMPLETE.
bool left_checkpoint(const fs::path& folder, const std::string& key, int generation);

void note_failure(const fs::path& folder, const std::string& key, int generation, const std::string& worker,
                  const std::string& reason);
int count_failures(const fs::path& folder, const std::string& key);
void forget_failures(const fs::path& folder, const std::string& key);
nlohmann::ordered_json failures_json(const fs::path& folder, const std::string& key);  // oldest first

}  // namespace gaggle
