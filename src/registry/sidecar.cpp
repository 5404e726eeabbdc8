#include "registry/sidecar.h"

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "registry/layout.h"

namespace gaggle {

using nlohmann::json;
using nlohmann::ordered_json;

std::string complete_sidecar(const std::string& name, const std::string& key, const std::string& given,
                             const ordered_json& own) {
  const ordered_json object = given.empty() ? ordered_json::object() : ordered_json::parse(given);
  GAGGLE_CHECK(object.is_object(), "the description of {} is no object", name);
  ordered_json sidecar = {{"format", 1}, {"name", name}, {"key", key}, {"origin", "trained"}};
  for (const auto& [field, value] : object.items()) sidecar[field] = value;
  sidecar["name"] = name;
  sidecar["key"] = key;
  for (const auto& [field, value] : own.items()) sidecar[field] = value;
  return sidecar.dump(2) + "\n";
}

json read_sidecar(const fs::path& version_folder, Kind kind) {
  const fs::path file = version_folder / words_of(kind).sidecar;
  without_links(version_folder, file);
  try {
    json sidecar = json::parse(read_file(file));
    if (!sidecar.is_object()) user_error("{}: expected a JSON object", file.string());
    return sidecar;
  } catch (const json::exception& error) {
    user_error("{}: not JSON ({})", file.string(), error.what());
  }
}

std::string key_of(const fs::path& version_folder, Kind kind) {
  try {
    return text_at(read_sidecar(version_folder, kind), "key");
  } catch (const UserError&) {
    return "";
  }
}

std::string text_at(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

int64_t number_at(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number_integer() ? found->get<int64_t>() : 0;
}

json object_at(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_object() ? *found : json::object();
}

}  // namespace gaggle
