// Which items there are and their keys.
#include "eval/items.h"

#include <algorithm>

#include "base/error.h"
#include "base/names.h"
#include "base/sha256.h"
#include "eval/choices.h"

namespace gaggle {
namespace {

// A long task is cut into items of this many examples, so that ranks share it and little is lost by a stop.
constexpr size_t examples_per_item = 1000;

void add_ids(Sha256& digest, const std::vector<int32_t>& ids) {
  digest.update(fmt::format("{}:", ids.size())).update(std::as_bytes(std::span(ids)));
}

std::string digest_of_examples(const TokenTask& task, Split split, size_t first, size_t last) {
  Sha256 digest;
  digest.update(fmt::format("{} {} {}\n", task.name, task.metric, task.end_id));
  for (size_t i = first; i < last; ++i) {
    const TokenExample& example = task.examples(split)[i];
    digest.update(example.id).update("\n");
    if (!example.source.empty()) add_ids(digest, example.source);
    add_ids(digest, example.input);
    add_ids(digest, example.target);
    for (const auto& choice : example.choices) add_ids(digest, choice);
    digest.update(fmt::format("answer {}\n", example.answer));
  }
  return digest.hex();
}

// What changes the texts that are generated and how they are compared; where none are "0", behind which stands what
// else decides among choices than their tokens.
std::string scoring_of(const EvalContext& context, const EvalItem& item) {
  const EvalConfig& eval = context.eval;
  const TokenTask& task = context.tasks[item.task];
  if (!is_of_generated(task.metric)) {
    const auto examples = std::span(task.examples(context.split)).subspan(item.first, item.last - item.first);
    const auto rule = choice_rule(eval, task, examples, context.tokenizer, context.base.spec().decoder_start);
    return rule.empty() ? "0" : "0 by " + rule;
  }
  std::string how = context.tokenizer.clean_up_spaces ? " without stray spaces" : "";
  if (task.metric == "rouge_l" && eval.stem) how += " by stems";
  if (eval.beams == 1) return fmt::format("{}{}", eval.max_new_tokens, how);
  return fmt::format("{} beams {} {}{}", eval.max_new_tokens, eval.beams, eval.length_penalty, how);
}

}  // namespace

bool held_in(const EvalContext& context, const std::vector<Method>& methods, const std::string& task) {
  const auto trained = [&](const Method& method) {
    return method.inventory && std::ranges::count(method.inventory->pretrained_on, task) > 0;
  };
  return context.collection.number_of(task) >= 0 || std::ranges::any_of(methods, trained);
}

std::vector<EvalItem> make_items(const EvalContext& context, const std::vector<Method>& methods) {
  std::vector<EvalItem> items;
  const auto add = [&](const Method& method, size_t task) {
    if (!items_of(items, method.name, task).empty() || !serves(method, context.tasks[task].name)) return;
    const size_t examples = context.tasks[task].examples(context.split).size();
    for (size_t first = 0; first < examples; first += examples_per_item) {
      EvalItem item{"", method, task, first, std::min(examples, first + examples_per_item)};
      const auto settings =
          settings_of(method, context.collection, context.prepared, context.seed, scored_task(context.tasks[task]));
      const bool of_collection =
          method.kind != MethodKind::none && method.kind != MethodKind::target && !method.inventory;
      item.key = sha256_hex(fmt::format("eval 1\n{}\n{}\n{}\n{}\n{}\n{}\n", settings, of_collection ? context.pins : "",
                                        context.base.content_digest(), at::toString(context.base.dtype()),
                                        scoring_of(context, item),
                                        digest_of_examples(context.tasks[task], context.split, item.first, item.last)));
      items.push_back(std::move(item));
    }
  };
  const auto& names = context.collection.names;
  for (const Method& method : methods)
    for (size_t task = 0; task < context.tasks.size(); ++task) {
      if (method.kind != MethodKind::oracle) {
        add(method, task);
        continue;
      }
      const int own_expert = context.collection.number_of(context.tasks[task].name);
      for (size_t z = 0; z < names.size(); ++z)
        if (own_expert < 0 || own_expert == static_cast<int>(z))
          add({MethodKind::single, "expert:" + names[z], static_cast<int>(z), nullptr, method.eval}, task);
    }
  return items;
}

std::vector<const EvalItem*> items_of(const std::vector<EvalItem>& items, const std::string& method, size_t task) {
  std::vector<const EvalItem*> found;
  for (const EvalItem& item : items)
    if (item.method.name == method && item.task == task) found.push_back(&item);
  return found;
}

}  // namespace gaggle
