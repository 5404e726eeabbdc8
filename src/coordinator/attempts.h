// The attempts at an item, work/items/KEY/GEN/: checkpoints of each, and failed.json where one failed.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace gaggle {

// `folder` is a registry or a run folder.
std::filesystem::path attempts_folder(const std::filesystem::path& folder,
                                      const std::string& key);  // work/items/KEY
std::filesystem::path item_folder(const std::filesystem::path& folder, const std::string& key, int generation);
// Folders of generations below `generation`, newest first.
std::vector<std::filesystem::path> earlier_folders(const std::filesystem::path& folder, const std::string& key,
                                                   int generation);

// Whether an attempt wrote a checkpoint: a folder with the marker COMPLETE.
bool left_checkpoint(const std::filesystem::path& folder, const std::string& key, int generation);

void note_failure(const std::filesystem::path& folder, const std::string& key, int generation,
                  const std::string& worker, const std::string& reason);
int count_failures(const std::filesystem::path& folder, const std::string& key);
void forget_failures(const std::filesystem::path& folder, const std::string& key);
nlohmann::ordered_json failures_json(const std::filesystem::path& folder,
                                     const std::string& key);  // oldest first

}  // namespace gaggle
