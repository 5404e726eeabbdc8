// How fast examples are scored, from a few of them.
#pragma once

#include "eval/items.h"

namespace gaggle {

// Expected FLOP of an item, as job/cost.h counts them.
double scoring_flops(const EvalContext& context, const EvalItem& item);
// What items of its speed are: the method over how many experts, the metric, passes of about how many tokens.
std::string scoring_kind(const EvalContext& context, const EvalItem& item);
// FLOP per second of scoring some of the item's first examples, which come to about `flops`, with shorter outputs where
// they are generated. `adapter` is the caller's to drop: it has counted these examples.
double scoring_rate(const EvalContext& context, const EvalItem& item, RoutedAdapter* adapter, double flops);

}  // namespace gaggle
