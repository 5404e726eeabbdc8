// A JSON file whose mistakes are reported with the file's name: broken syntax by line and column, wrong types
// and missing keys by key.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "base/error.h"

namespace gaggle {

using Json = nlohmann::json;

Json read_json_file(const std::filesystem::path& path);  // throws UserError

// Runs `read`; what the JSON library throws (a key of another type, or missing) becomes a UserError.
template <class Read>
auto with_file_name(const std::filesystem::path& path, Read&& read) {
  try {
    return read();
  } catch (const Json::exception& error) {
    user_error("{}: {}", path.string(), error.what());
  }
}

// The value at `key`, or `otherwise` where it is missing or null.
template <class T>
T value_or(const Json& object, const char* key, T otherwise) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? otherwise : found->get<T>();
}

}  // namespace gaggle
