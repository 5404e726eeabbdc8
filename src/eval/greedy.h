// Greedy generation over a batch of prompts with a key/value cache.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "model/base_model.h"

namespace gaggle {

struct GreedyOptions {
  int64_t max_new_tokens = 32;
  int32_t end = -1;               // generation of a row stops here; the token is not returned
  int64_t token_budget = 2048;    // prompt and new rows of one batch
  std::function<void()> between;  // called before every pass; may throw
  std::function<void(size_t prompt, int32_t token)> on_token;
};

// New tokens of every prompt, in the order given.
std::vector<std::vector<int32_t>> generate_greedy(BaseModel& base, SiteAdapter* adapter,
                                                  std::span<const std::span<const int32_t>> prompts,
                                                  const GreedyOptions& options);

}  // namespace gaggle
