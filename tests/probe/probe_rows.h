// Token rows from JSON: {"input": [ids], "target": [ids]}, with "source" for a model with an encoder.
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

}  // namespace gaggle::probe
