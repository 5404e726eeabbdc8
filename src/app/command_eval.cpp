// gaggle eval: methods × tasks, scored by items that are taken from the run folder by lease.
#include "app/command.h"
#include "workflow/evaluate.h"

namespace gaggle {
namespace {

Exit evaluate(const Config& config, const JobOptions& options) {
  const Split split = split_named(config.eval.split, "eval.split");
  StartedJob start = start_job(
      config, options, load_scored_inputs(config, split), BaseUse::inference, [](const Session&) {},
      config.model.shard == "none" ? 1 : 0);
  if (start.stopped) return *start.stopped;
  const JobContext context{config, options, start.session, *start.base, start.gemm_flops};
  const EvalSources sources = load_sources(config, *start.base, start.inputs.tasks, !options.dry_run);
  return run_evaluation(context, sources, *start.inputs.tokenizer, start.inputs.tasks, split);
}

}  // namespace

Command eval_command() {
  return {"eval", "Score routings of a collection on tasks", with_job_options(evaluate),
          "gaggle eval my.toml --eval.methods=none,merged,arrow\ngaggle eval my.toml --eval.collection=demo@v0001"};
}

}  // namespace gaggle
