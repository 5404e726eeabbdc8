// Rows from JSON: {"input": [ids], "target": [ids]}, with "source" for a model with an encoder.
#pragma once

#include <nlohmann/json.hpp>

#include "base/microbatch.h"
#include "data/tokens.h"

namespace gaggle::probe {

inline TokenRow token_row(const nlohmann::json& json) {
  TokenRow row;
  row.source = json.value("source", std::vector<int32_t>());
  row.input = json.at("input").get<std::vector<int32_t>>();
  row.target = json.at("target").get<std::vector<int32_t>>();
  return row;
}

inline void add_sequence(TokenSequences& tokens, const std::vector<int32_t>& ids) {
  const int64_t begin = tokens.count();
  append_sequence(tokens, ids);
  tokens.segments.push_back({static_cast<int>(tokens.sequences()) - 1, begin, tokens.count()});
}

// In the order given, each its own segment: input and target without its last token. Nothing is scored.
inline Microbatch rows_in_order(const nlohmann::json& list) {
  Microbatch batch;
  for (const nlohmann::json& json : list) {
    TokenRow row = token_row(json);
    if (!row.source.empty()) {
      add_sequence(batch.encoder, row.source);
      batch.sources.push_back(batch.encoder.sequences() - 1);
    }
    row.input.insert(row.input.end(), row.target.begin(), row.target.end() - 1);
    add_sequence(batch.decoder, row.input);
  }
  return batch;
}

}  // namespace gaggle::probe
