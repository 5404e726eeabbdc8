// gaggle analyse: what the routing methods of eval.methods choose on tasks, by items; analysis.json and a block for people.
#include "app/command.h"
#include "app/ranges.h"
#include "workflow/analyse.h"

namespace gaggle {
namespace {

Exit analyse(const Config& config, const JobOptions& options, const AnalyseOptions& wanted) {
  const Config routed = with_routed_methods(config);
  const Split split = split_named(config.eval.split, "eval.split");
  const auto& paths = config.eval.tasks.empty() ? config.data.tasks : config.eval.tasks;
  StartedJob start = start_job(
      config, options, load_inputs(config, paths, config.eval.limit_examples), BaseUse::inference,
      [](const Session&) {}, config.model.shard == "none" ? 1 : 0);
  if (start.stopped) return *start.stopped;
  const JobContext context{config, options, start.session, *start.base, start.gemm_flops};
  const EvalSources sources = load_sources(routed, *start.base, start.inputs.tasks, !options.dry_run, wanted.knock_out);
  return run_analysis(context, sources, *start.inputs.tokenizer, std::move(start.inputs.tasks), split, wanted);
}

}  // namespace

Command analyse_command() {
  return {"analyse", "What routing methods choose, and what an expert is worth",
          [](CLI::App& parser) {
            const auto wanted = std::make_shared<AnalyseOptions>();
            RunCommand command = with_job_options([wanted](const Config& config, const JobOptions& options) {
              return analyse(config, options, *wanted);
            })(parser);
            parser.add_option("--texts", wanted->texts, "Examples of each task that are shown token by token")
                ->option_text("N")
                ->check(integer_from(0))
                ->capture_default_str();
            parser.add_flag("--knock-out", wanted->knock_out,
                            "Score every method without each expert, too: as many evaluations as there are experts");
            return command;
          },
          "gaggle analyse my.toml --texts 3"};
}

}  // namespace gaggle
