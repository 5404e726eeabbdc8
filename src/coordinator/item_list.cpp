#include "coordinator/item_list.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/sha256.h"

namespace gaggle {
namespace {

fs::path list_file(const fs::path& folder, const std::string& digest) {
  return folder / "work" / "jobs" / (digest + ".json");
}

}  // namespace

std::string publish_items(const fs::path& folder, const std::vector<WorkItem>& items) {
  std::vector<std::string> keys;
  for (const WorkItem& item : items) keys.push_back(item.key);
  std::sort(keys.begin(), keys.end());
  std::string all;
  for (const std::string& key : keys) all += key + "\n";
  const std::string digest = sha256_hex(all).substr(0, 16);
  const fs::path file = list_file(folder, digest);
  if (fs::exists(file)) return digest;
  auto list = nlohmann::ordered_json::array();
  for (const PlannedItem& planned : Plan(items).items()) {
    list.push_back({{"key", planned.item.key}, {"name", planned.item.name}, {"seconds", planned.item.cost}});
    for (const ItemPart& part : planned.item.parts) list.back()["parts"].push_back({part.key, part.name});
  }
  // Nothing that decides the work depends on it.
  try {
    fs::create_directories(file.parent_path());
    write_file_atomic(file, nlohmann::ordered_json{{"items", list}}.dump(1) + "\n");
  } catch (const std::exception& failed) {
    log::warning("gaggle status will not know what is open: {}", error_text(failed));
  }
  return digest;
}

std::vector<WorkItem> published_items(const fs::path& folder, const std::string& digest) {
  std::vector<WorkItem> items;
  try {
    const auto list = parse_json(read_file(list_file(folder, digest)));
    for (const auto& item : list.at("items")) {
      items.push_back({item.at("key"), item.at("name"), item.at("seconds")});
      for (const auto& part : item.value("parts", nlohmann::json::array()))
        items.back().parts.push_back({part.at(0), part.at(1)});
    }
  } catch (const std::exception&) {
    return {};
  }
  return items;
}

}  // namespace gaggle
