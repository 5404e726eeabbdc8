// One attempt at an item of gaggle adapt.
#include "cluster/stop.h"
#include "job/training.h"
#include "library/collection.h"
#include "workflow/adapt.h"
#include "workflow/adapt_commit.h"

namespace gaggle {
namespace {

// As `gaggle eval` scores: rank classification, generation, or NLL alone, by the task's metric. `mixture`:
// adapted_mixture; undefined: the base alone.
Score score_item(const AdaptJob& job, const AdaptItem& item, const at::Tensor& mixture) {
  const RoutedCollection collection = routed_collection({}, job.context.base);
  const auto adapter = mixture.defined() ? make_fixed(item.recipe->spec, mixture, job.context.base) : nullptr;
  const Config& config = job.config();
  const EvalContext context{config.eval,      config.run.seed, config.train.tokens_per_microbatch,
                            job.context.base, collection,      job.tokenizer,
                            job.tasks,        job.split,       ""};
  const Method method{adapter ? MethodKind::single : MethodKind::none, item.name, adapter ? 0 : -1};
  const EvalItem scored{item.key, method, item.task, 0, job.scored_examples(item.task)};
  return score_of(run_item(context, scored, adapter.get(), heed_stop_requests).examples);
}

}  // namespace

Commit adapt_item(const AdaptJob& job, const AdaptItem& item, Registry& registry, Attempt& attempt) {
  if (!item.recipe) {
    return [&job, &item, score = score_item(job, item, {})] {
      write_adapt_result(job, item, {"", score});
      return "";
    };
  }
  const AdaptRecipe& recipe = *item.recipe;
  // Its last checkpoint is on its way to the disk while the item is scored, where a stop may come.
  TrainingAttempt training(job.context, attempt, attempt.folder, recipe.key);
  const TokenTask few = few_shot(job.tasks[item.task], item.shots, recipe.seed);
  const at::Tensor values =
      train_adapted(job.context.base, few, recipe, job.sources(), attempt.group, training.hooks, attempt.earlier);
  const Score score = score_item(job, item, adapted_mixture(recipe, values));
  training.wait();
  return [&job, &item, &registry, values, score] {
    const std::string version = commit_adapted(job, registry, item, values);
    const char* folder = words_of(stored_kind(*item.recipe)).folder;
    write_adapt_result(job, item, {fmt::format("{}/{}@{}", folder, item.name, version), score});
    return "";
  };
}

}  // namespace gaggle
