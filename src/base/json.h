// The one way in which JSON is read. The library's parser takes any depth, but what walks over its values (dump,
// flatten, copies) does so by recursion: a file of brackets alone would overflow the stack.
#pragma once

#include <concepts>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>

namespace gaggle {

// Caught as nlohmann::json::exception wherever JSON is read. Its words are short: they quote no whole file.
struct JsonError : nlohmann::json::exception {
  JsonError(const std::string& words, size_t byte) : exception(0, words.c_str()), byte(byte) {}
  size_t byte;  // where in the text, counted from 1; 0: nowhere in particular
};

// Throws JsonError for more than 64 levels of nesting; no file that we read has as many.
void check_depth(std::string_view text);
// "line 1, column 8: syntax error while parsing value - …": the library's words without its numbers, cut.
std::string json_reason(const nlohmann::json::exception& error);

// Throws JsonError where the text is no JSON, is nested too deeply, or has a number that no double holds.
template <class Json = nlohmann::json>
Json parse_json(std::string_view text, const typename Json::parser_callback_t& watch = nullptr) {
  check_depth(text);
  try {
    return Json::parse(text, watch);
  } catch (const nlohmann::json::parse_error& error) {
    throw JsonError(json_reason(error), error.byte);
  } catch (const nlohmann::json::exception& error) {
    throw JsonError(json_reason(error), 0);
  }
}

// The library's get() casts any number: of 1e300 the result is undefined, and 4294967297 is 1 as an int. Throws JsonError
// for what is no whole number that Whole holds.
template <std::integral Whole, class Json>
Whole whole_number_of(const Json& value) {
  if (value.is_number_unsigned()) {
    if (const auto number = value.template get<uint64_t>(); std::in_range<Whole>(number))
      return static_cast<Whole>(number);
  } else if (value.is_number_integer()) {
    if (const auto number = value.template get<int64_t>(); std::in_range<Whole>(number))
      return static_cast<Whole>(number);
  } else if (!value.is_number()) {
    value.template get<int64_t>();  // throws what the library says of other types
  }
  throw JsonError("expected a whole number of " + std::to_string(sizeof(Whole) * 8) + " bits, not " + value.dump(), 0);
}

// What is not finite is written as null: JSON has no such numbers.
template <class Json>
double number_or_nan(const Json& value) {
  return value.is_null() ? std::numeric_limits<double>::quiet_NaN() : value.template get<double>();
}

}  // namespace gaggle
