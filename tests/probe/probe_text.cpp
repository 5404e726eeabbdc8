// probe tokenize PATH [--markup] [--around]: JSON-encoded lines on stdin → their token ids, a JSON list a line.
//   A line is a string, or a list of [text, markup] pieces.
//   --markup: strings are markup; --around: with prefix, suffix.
// probe detokenize PATH: lists of ids on stdin → their text as JSON strings.
// probe compare_tokenizers PATH…: JSON strings on stdin → for each PATH one line of JSON: bos, eos, the strings' ids as
//   markup with prefix and suffix, and the text of those ids; {"error": …} where it is refused.
// probe tokenizer PATH: size, bos, eos, prefix, suffix and digest as one JSON object.
#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "base/error.h"
#include "probe/probe.h"
#include "text/tokenizer.h"

namespace gaggle::probe {
namespace {

using Json = nlohmann::json;

int tokenize(const std::vector<std::string>& arguments) {
  const auto tokenizer = load_tokenizer(arguments.at(0));
  const auto has = [&](const char* option) { return std::ranges::count(arguments, option) > 0; };
  const bool markup = has("--markup");
  const bool around = has("--around");
  for (std::string line; std::getline(std::cin, line);) {
    const Json value = Json::parse(line);
    std::vector<TextPiece> pieces;
    if (value.is_string()) {
      pieces.push_back({value.get<std::string>(), markup});
    } else {
      for (const Json& piece : value) pieces.push_back({piece.at(0).get<std::string>(), piece.at(1).get<bool>()});
    }
    std::vector<int32_t> ids = tokenizer->encode(pieces);
    if (around) {
      ids.insert(ids.begin(), tokenizer->prefix.begin(), tokenizer->prefix.end());
      ids.insert(ids.end(), tokenizer->suffix.begin(), tokenizer->suffix.end());
    }
    std::cout << Json(ids).dump() << '\n';
  }
  return 0;
}

int detokenize(const std::vector<std::string>& arguments) {
  const auto tokenizer = load_tokenizer(arguments.at(0));
  for (std::string line; std::getline(std::cin, line);)
    std::cout << Json(tokenizer->decode(Json::parse(line).get<std::vector<int32_t>>())).dump() << '\n';
  return 0;
}

int describe(const std::vector<std::string>& arguments) {
  const auto tokenizer = load_tokenizer(arguments.at(0));
  const auto optional = [](const std::optional<int32_t>& id) { return id ? Json(*id) : Json(); };
  std::cout << Json{{"size", tokenizer->size()},   {"bos", optional(tokenizer->bos)}, {"eos", optional(tokenizer->eos)},
                    {"prefix", tokenizer->prefix}, {"suffix", tokenizer->suffix},     {"digest", tokenizer->digest}}
                   .dump()
            << '\n';
  return 0;
}

int compare(const std::vector<std::string>& paths) {
  std::vector<std::string> texts;
  for (std::string line; std::getline(std::cin, line);) texts.push_back(Json::parse(line));
  const auto optional = [](const std::optional<int32_t>& id) { return id ? Json(*id) : Json(); };
  for (const std::string& path : paths) {
    Json answer = {{"ids", Json::array()}, {"decoded", Json::array()}};
    try {
      const auto tokenizer = load_tokenizer(path);
      answer["bos"] = optional(tokenizer->bos);
      answer["eos"] = optional(tokenizer->eos);
      for (const std::string& text : texts) {
        std::vector<int32_t> ids = tokenizer->encode_markup(text);
        ids.insert(ids.begin(), tokenizer->prefix.begin(), tokenizer->prefix.end());
        ids.insert(ids.end(), tokenizer->suffix.begin(), tokenizer->suffix.end());
        answer["ids"].push_back(ids);
        answer["decoded"].push_back(tokenizer->decode(ids));
      }
    } catch (const UserError& error) {
      answer = {{"error", error.what()}};
    }
    std::cout << answer.dump() << '\n';
  }
  return 0;
}

const Register kCompare("compare_tokenizers", compare);
const Register kTokenize("tokenize", tokenize);
const Register kDetokenize("detokenize", detokenize);
const Register kDescribe("tokenizer", describe);

}  // namespace
}  // namespace gaggle::probe
