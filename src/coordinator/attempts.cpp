#include "coordinator/attempts.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json.h"
#include "coordinator/lease.h"

namespace gaggle {
namespace {

constexpr const char* failed_file = "failed.json";

std::vector<fs::path> failed_attempts(const fs::path& folder, const std::string& key) {
  std::vector<fs::path> files;
  for (const fs::path& attempt : earlier_folders(folder, key, std::numeric_limits<int>::max()))
    if (fs::exists(attempt / failed_file)) files.push_back(attempt / failed_file);
  std::reverse(files.begin(), files.end());
  return files;
}

}  // namespace

fs::path aside_file(const fs::path& folder, const std::string& key) { return folder / "aside" / (key + ".json"); }

std::optional<std::string> why_aside(const fs::path& folder, const std::string& key) {
  const fs::path file = aside_file(folder, key);
  if (!fs::exists(file)) return std::nullopt;
  try {
    return parse_json(read_file(file)).value("reason", "");
  } catch (const std::exception&) {
    return "see " + file.string();
  }
}

fs::path attempts_folder(const fs::path& folder, const std::string& key) { return folder / "work" / "items" / key; }

fs::path item_folder(const fs::path& folder, const std::string& key, int generation) {
  return attempts_folder(folder, key) / std::to_string(generation);
}

std::vector<fs::path> earlier_folders(const fs::path& folder, const std::string& key, int generation) {
  std::vector<fs::path> earlier;
  const auto number = [](const fs::path& attempt) { return generation_of(attempt.filename().string()); };
  for (const auto& entry : entries_of(attempts_folder(folder, key)))
    if (number(entry) > 0 && number(entry) < generation && !entry.is_symlink()) earlier.push_back(entry);
  std::ranges::sort(earlier, std::greater(), number);
  return earlier;
}

bool left_checkpoint(const fs::path& folder, const std::string& key, int generation) {
  std::error_code missing;
  for (const auto& entry : entries_of(item_folder(folder, key, generation)))
    if (fs::exists(entry.path() / "COMPLETE", missing)) return true;
  return false;
}

void note_failure(const fs::path& folder, const std::string& key, int generation, const std::string& worker,
                  const std::string& reason) {
  const fs::path attempt = item_folder(folder, key, generation);
  std::error_code failed;
  fs::create_directories(attempt, failed);
  const nlohmann::ordered_json json = {{"generation", generation}, {"worker", worker}, {"reason", reason}};
  write_file_atomic(attempt / failed_file, json.dump() + "\n");
}

int count_failures(const fs::path& folder, const std::string& key) {
  return static_cast<int>(failed_attempts(folder, key).size());
}

void forget_failures(const fs::path& folder, const std::string& key) {
  std::error_code ignored;
  for (const fs::path& file : failed_attempts(folder, key)) fs::remove(file, ignored);
}

nlohmann::ordered_json failures_json(const fs::path& folder, const std::string& key) {
  auto failures = nlohmann::ordered_json::array();
  for (const fs::path& file : failed_attempts(folder, key)) {
    try {
      failures.push_back(parse_json<nlohmann::ordered_json>(read_file(file)));
    } catch (const std::exception&) {
      // A report alone: the attempt counts as failed whatever it says.
    }
  }
  return failures;
}

}  // namespace gaggle
