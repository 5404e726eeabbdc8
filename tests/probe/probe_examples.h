// Examples from JSON: {"input": [ids], "target": [ids]}, with "source" for a model with an encoder.
#pragma once

#include <nlohmann/json.hpp>

#include "base/microbatch.h"
#include "data/tokens.h"

namespace gaggle::probe {

inline TokenExample token_example(const nlohmann::json& json) {
  TokenExample example;
  example.source = json.value("source", std::vector<int32_t>());
  example.input = json.at("input").get<std::vector<int32_t>>();
  example.target = json.at("target").get<std::vector<int32_t>>();
  return example;
}

inline void add_sequence(TokenSequences& tokens, const std::vector<int32_t>& ids) {
  const int64_t begin = tokens.count();
  append_sequence(tokens, ids);
  tokens.segments.push_back({static_cast<int>(tokens.sequences()) - 1, begin, tokens.count()});
}

// In the order given, each its own segment: input and target without its last token. Nothing is scored.
inline Microbatch batch_in_order(const nlohmann::json& list) {
  Microbatch batch;
  for (const nlohmann::json& json : list) {
    TokenExample example = token_example(json);
    if (!example.source.empty()) {
      add_sequence(batch.encoder, example.source);
      batch.sources.push_back(batch.encoder.sequences() - 1);
    }
    example.input.insert(example.input.end(), example.target.begin(), example.target.end() - 1);
    add_sequence(batch.decoder, example.input);
  }
  return batch;
}

}  // namespace gaggle::probe
