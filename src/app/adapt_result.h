// What an item of `gaggle adapt` came to: scored with what is served, kept as one JSON file.
#pragma once

#include <functional>
#include <optional>

#include "app/adapt_job.h"
#include "eval/summary.h"

namespace gaggle {

struct AdaptScore {
  std::string stored;  // "routing_rows/copy.z.32.s0@v0001"; "": the base alone
  Score score;
};

// As `gaggle eval` scores: rank classification, generation, or NLL alone, by the task's metric. `mixture`:
// adapted_mixture; undefined: the base alone. `between`: called between batches, may throw.
Score score_item(const AdaptJob& job, const AdaptItem& item, const at::Tensor& mixture,
                 const std::function<void()>& between);

std::filesystem::path adapt_result_path(const AdaptJob& job, const AdaptItem& item);
// There whole or not at all; holds nothing that differs between two runs.
void write_adapt_result(const AdaptJob& job, const AdaptItem& item, const AdaptScore& result);
// nullopt: it is not there. Throws UserError for a file that is no result.
std::optional<AdaptScore> read_adapt_result(const AdaptJob& job, const AdaptItem& item);

}  // namespace gaggle
