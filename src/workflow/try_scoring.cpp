#include "workflow/try_scoring.h"

#include <algorithm>

#include "base/clock.h"
#include "base/error.h"
#include "job/cost.h"

namespace gaggle {
namespace {

double flops_of(const EvalContext& context, const EvalItem& item, const EvalConfig& eval) {
  return scoring_flops(context.base, context.tasks[item.task], context.split, item.first, item.last, eval,
                       context.token_budget);
}

// "expert" of "expert:tomi", "phatgoose of 6 experts, top 2".
std::string method_text(const EvalContext& context, const Method& method) {
  std::string text = method.name.substr(0, method.name.find(':'));
  if (method.inventory) return text;
  if (method.kind == MethodKind::none || method.kind == MethodKind::single) return text;
  return fmt::format("{} of {} experts, top {}", text, context.collection.names.size(), method.eval.top_k);
}

}  // namespace

double scoring_flops(const EvalContext& context, const EvalItem& item) { return flops_of(context, item, context.eval); }

std::string scoring_kind(const EvalContext& context, const EvalItem& item) {
  const TokenTask& task = context.tasks[item.task];
  double tokens = 0;
  for (size_t i = item.first; i < item.last; ++i)
    tokens += static_cast<double>(fed_tokens(task.examples(context.split)[i]));
  std::string metric = task.metric;
  // How soon outputs end is the task's.
  if (is_of_generated(metric))
    metric += fmt::format(" of {} by {} beams, at most {} tokens", task.name, context.eval.beams,
                          context.eval.max_new_tokens);
  return fmt::format("scoring: {}, {}, {}", method_text(context, item.method), metric,
                     passes_text(std::min(tokens, static_cast<double>(context.token_budget))));
}

double scoring_rate(const EvalContext& context, const EvalItem& item, RoutedAdapter* adapter, double flops) {
  EvalConfig eval = context.eval;
  eval.max_new_tokens = std::min<int64_t>(4, eval.max_new_tokens);
  EvalItem few = item;
  const auto fits = [&] { return flops_of(context, few, eval) <= flops; };
  for (size_t count = 1; count <= item.last - item.first; count *= 2) {
    const size_t before = few.last;
    few.last = item.first + count;
    if (count > 1 && !fits()) {
      few.last = before;
      break;
    }
  }
  while (eval.max_new_tokens < context.eval.max_new_tokens && fits()) ++eval.max_new_tokens;
  const EvalContext shorter{
      eval,          context.seed,  context.token_budget, context.base,    context.collection, context.tokenizer,
      context.tasks, context.split, context.pins,         context.prepared};
  const double begun = monotonic_seconds();
  run_item(shorter, few, adapter, [] {});
  return flops_of(context, few, eval) / std::max(1e-9, monotonic_seconds() - begun);
}

}  // namespace gaggle
