// What a job is to do, for those who only look (gaggle status): work/jobs/DIGEST.json, written once by whoever
// comes first; jobs of the same items share it.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "coordinator/plan.h"

namespace gaggle {

// `folder`: registry or run folder. Returns the digest, of the keys alone.
std::string publish_items(const std::filesystem::path& folder, const std::vector<WorkItem>& items);
// In the order of the plan; empty where there is no such list, or it cannot be read.
std::vector<WorkItem> published_items(const std::filesystem::path& folder, const std::string& digest);

}  // namespace gaggle
