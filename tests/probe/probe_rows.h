// Rows from JSON: {"input": [ids], "target": [ids]}, with "source" for a model with an encoder.
#pragma once

#include <nlohmann/json.hpp>

#include "data/tokens.h"

namespace gaggle::probe {

inline TokenRow token_row(const nlohmann::json& json) {
  TokenRow row;
  row.source = json.value("source", std::vector<int32_t>());
  row.input = json.at("input").get<std::vector<int32_t>>();
  row.target = json.at("target").get<std::vector<int32_t>>();
  return row;
}

inline void add_sequence(RowSet& rows, const std::vector<int32_t>& ids) {
  if (rows.starts.empty()) rows.starts = {0};
  for (size_t i = 0; i < ids.size(); ++i) rows.positions.push_back(static_cast<int32_t>(i));
  rows.ids.insert(rows.ids.end(), ids.begin(), ids.end());
  rows.segments.push_back({static_cast<int>(rows.starts.size()) - 1, rows.starts.back(), rows.count()});
  rows.starts.push_back(rows.count());
}

// In the order given, each its own segment: input and target without its last token. Nothing is scored.
inline Rows rows_in_order(const nlohmann::json& list) {
  Rows rows;
  for (const nlohmann::json& json : list) {
    TokenRow row = token_row(json);
    if (!row.source.empty()) {
      add_sequence(rows.encoder, row.source);
      rows.sources.push_back(rows.encoder.sequences() - 1);
    }
    row.input.insert(row.input.end(), row.target.begin(), row.target.end() - 1);
    add_sequence(rows, row.input);
  }
  return rows;
}

}  // namespace gaggle::probe
