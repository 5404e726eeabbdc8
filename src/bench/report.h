// What the bench has measured, as a table for people and as JSON for machines, and back.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/page.h"
#include "bench/verdict.h"

namespace gaggle {

struct BenchResult {
  nlohmann::ordered_json machine;  // where seconds can be compared with seconds: processor, threads, type, ranks
  nlohmann::ordered_json subject;  // base, tokens and rows of the batch
  int64_t repeats = 0;
  MachineRates rates;  // medians
  std::vector<BenchLine> lines;
};

// Units are in the names: seconds, flop, bytes, tokens_per_s; shares are of 1.
std::string bench_json(const BenchResult& result);
// `where`: the file, for messages. Throws UserError for a text that bench_json did not write.
BenchResult bench_result_of(const std::string& text, const std::string& where);

// One table for each group; with a comparison two more columns, and a sentence on what was compared.
Page bench_page(const BenchResult& result, const BenchComparison* comparison);

}  // namespace gaggle
