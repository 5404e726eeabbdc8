// gaggle prepare: what methods of eval.methods need beforehand (average activations, states of examples, statistics of scores,
// the best expert), as items that workers share.
#include "app/command.h"
#include "workflow/prepare.h"

namespace gaggle {
namespace {

Exit prepare(const Config& config, const JobOptions& options) {
  Inputs inputs = load_inputs(config, config.data.tasks, config.data.limit_examples);
  const std::map<std::string, TokenTask> tasks = tasks_of_experts(config, inputs);
  StartedJob start = start_job(
      config, options, std::move(inputs), BaseUse::inference, [](const Session&) {},
      config.model.shard == "none" ? 1 : 0);
  if (start.stopped) return *start.stopped;
  return run_prepare({config, options, start.session, *start.base, start.gemm_flops}, tasks);
}

}  // namespace

Command prepare_command() {
  return {"prepare", "What eval.methods need to know of the experts beforehand", with_job_options(prepare),
          "gaggle prepare my.toml --eval.methods=average,retrieval"};
}

}  // namespace gaggle
