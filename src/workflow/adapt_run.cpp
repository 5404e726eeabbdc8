// One attempt at an item of gaggle adapt.
#include "cluster/stop.h"
#include "job/training.h"
#include "train/short_steps.h"
#include "workflow/adapt.h"
#include "workflow/adapt_commit.h"
#include "workflow/try_scoring.h"

namespace gaggle {
namespace {

std::unique_ptr<RoutedAdapter> served_by(const AdaptJob& job, const AdaptItem& item, const at::Tensor& values) {
  return make_fixed(item.recipe->spec, adapted_mixture(*item.recipe, values), job.context.base);
}

// As `gaggle eval` scores: rank classification, generation, or NLL alone, by the task's metric. No adapter: the base.
Score score_item(const AdaptJob& job, const AdaptItem& item, const EvalContext& scoring, RoutedAdapter* adapter) {
  return score_of(run_item(scoring, scored_item(job, item), adapter, heed_stop_requests).examples);
}

}  // namespace

EvalContext scoring_of(const AdaptJob& job, const RoutedCollection& no_experts) {
  const Config& config = job.config();
  return {config.eval,      config.run.seed, config.train.tokens_per_microbatch,
          job.context.base, no_experts,      job.tokenizer,
          job.tasks,        job.split,       ""};
}

double adapt_rate(const AdaptJob& job, const AdaptItem& item, const EvalContext& scoring, double flops) {
  const EvalItem scored = scored_item(job, item);
  if (!item.recipe) return scoring_rate(scoring, scored, nullptr, flops);
  const AdaptRecipe& recipe = *item.recipe;
  const PhaseCosts costs = adapt_flops(job, item, scoring);
  const double training = costs.front().second, scores = costs.back().second;
  const at::Tensor start = adapt_start(recipe, job.sources());
  const TokenTask few = few_shot(job.tasks[item.task], item.shots, recipe.seed);
  const auto trained = adapted_adapter(job.context.base, recipe, start);
  const double seconds =
      phase_seconds(job.context.base, {{recipe.phase, *trained, single_task(few, recipe.phase)}}, flops / 2 / training);
  const double rate = scoring_rate(scoring, scored, served_by(job, item, start).get(), flops / 2);
  return (training + scores) / (seconds + scores / rate);
}

Commit adapt_item(const AdaptJob& job, const AdaptItem& item, const EvalContext& scoring, Registry& registry,
                  Attempt& attempt) {
  if (!item.recipe) {
    if (attempt.report) attempt.report->scored(0, static_cast<int64_t>(job.scored_examples(item.task)));
    return [&job, &item, score = score_item(job, item, scoring, nullptr)] {
      write_adapt_result(job, item, {"", score});
      return "";
    };
  }
  const AdaptRecipe& recipe = *item.recipe;
  // Its last checkpoint is on its way to the disk while the item is scored, where a stop may come.
  TrainingAttempt training(job.context, attempt, attempt.folder, recipe.key, adapt_flops(job, item, scoring));
  const TokenTask few = few_shot(job.tasks[item.task], item.shots, recipe.seed);
  const AdaptedValues adapted =
      train_adapted(job.context.base, few, recipe, job.sources(), attempt.group, training.hooks, attempt.earlier);
  const Score score = score_item(job, item, scoring, served_by(job, item, adapted.values).get());
  training.wait();
  return [&job, &item, &registry, adapted, score] {
    const std::string version = commit_adapted(job, registry, item, adapted);
    const char* folder = words_of(stored_kind(*item.recipe)).folder;
    write_adapt_result(job, item, {fmt::format("{}/{}@{}", folder, item.name, version), score});
    return "";
  };
}

}  // namespace gaggle
