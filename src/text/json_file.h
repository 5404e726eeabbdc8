// A JSON file whose mistakes are reported with the file's name: broken syntax by line and column, wrong types
// and missing keys by key.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "base/error.h"
#include "base/json.h"

namespace gaggle {

using Json = nlohmann::json;

Json read_json_file(const std::filesystem::path& path);  // throws UserError

// Runs `read`; its UserErrors, and what the JSON library throws (a key of another type, or missing), become UserErrors
// that begin with `place`: a file, or a component within it.
template <class Read>
auto with_place(const std::string& place, Read&& read) {
  try {
    return read();
  } catch (const UserError& error) {
    user_error("{}: {}", place, error.what());
  } catch (const Json::exception& error) {
    user_error("{}: {}", place, error.what());
  }
}

// The value at `key`; nothing where it is missing or null.
template <class T>
std::optional<T> optional_value(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return std::nullopt;
  if constexpr (std::integral<T> && !std::same_as<T, bool>)
    return whole_number_of<T>(*found);
  else
    return found->get<T>();
}

template <class T>
T value_or(const Json& object, const char* key, T otherwise) {
  return optional_value<T>(object, key).value_or(std::move(otherwise));
}

inline std::string required_text(const Json& object, const char* key) { return object.at(key).get<std::string>(); }

}  // namespace gaggle
