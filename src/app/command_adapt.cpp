// gaggle adapt: a pretrained skill inventory taken to new tasks.
#include "app/command.h"
#include "base/error.h"
#include "base/file.h"
#include "workflow/adapt.h"

namespace gaggle {
namespace {

Exit adapt_skills(const Config& config, const JobOptions& options) {
  const Split split = split_named(config.eval.split, "eval.split");
  if (config.eval.shots > 0)
    user_error(
        "{}: eval.shots = {} is of gaggle eval: gaggle adapt shows no solved examples before its questions; what it "
        "trains on is adapt.shots",
        config.origin.at("eval.shots"), config.eval.shots);
  const auto& paths = config.adapt.tasks.empty() ? config.data.tasks : config.adapt.tasks;
  StartedJob start = start_job(
      config, options, load_inputs(config, paths, config.data.limit_examples), BaseUse::training,
      [&](const Session&) { check_writable(config.registry.path, "registry.path"); }, /*together=*/1);
  if (start.stopped) return *start.stopped;
  const JobContext context{config, options, start.session, *start.base, start.gemm_flops};
  return run_adaptation({context, *start.inputs.tokenizer, start.inputs.tasks, split});
}

}  // namespace

Command adapt_command() {
  return {"adapt", "Take a pretrained inventory to new tasks, from a few examples of each",
          with_job_options(adapt_skills),
          "gaggle adapt my.toml --adapt.from=skills --adapt.tasks=new/ --adapt.shots=16"};
}

}  // namespace gaggle
