// What routing methods need to know of the experts and their tasks beforehand, from passes over training examples.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "data/tokens.h"
#include "eval/routing_of.h"

namespace gaggle {

struct PreparePasses {
  BaseModel& base;
  std::span<const TokenExample> examples;
  int64_t token_budget = 0;       // of a pass
  std::function<void()> between;  // called between passes; may throw
};

// PHATGOOSE's average activation (arXiv 2402.05859, section 4.3): the mean over examples (input and target) of the mean over
// tokens of what each site reads while the expert is active. [sites of the base] fp32 [d_in]; undefined where it is absent.
std::vector<at::Tensor> mean_inputs(const PreparePasses& passes, const RoutedCollection& collection, int expert);

// The base's mean state over each example's prompt, divided by its length: [examples, d] fp32.
at::Tensor prompt_states(const PreparePasses& passes);

// Of the examples' targets with this adapter.
struct TargetNll {
  double nll = 0;  // Σ, nats
  int64_t tokens = 0;
};
TargetNll nll_of_targets(const PreparePasses& passes, SiteAdapter& adapter);
double nll_per_token(const PreparePasses& passes, SiteAdapter& adapter);

// Of the scores that a method takes, over all tokens of the examples in passes of the base alone.
struct ScoreSums {
  at::Tensor sums, squares;  // [N] fp64 by expert number
  double tokens = 0;
};
// [sites of the base].
std::vector<ScoreSums> score_sums(const PreparePasses& passes, const Method& method, const RoutedCollection& collection,
                                  const PreparedExperts& prepared);

}  // namespace gaggle
