// The one way in which JSON is read. The library's parser takes any depth, but what walks over its values (dump,
// flatten, copies) does so by recursion: a file of brackets alone would overflow the stack.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

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

}  // namespace gaggle
