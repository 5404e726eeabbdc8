// gaggle align RUN…: what runs have measured of gradient alignment; with --examples a pass over a run's
// checkpoint, every pair of tasks, by all ranks together.
#include "alignment/checkpoint_pass.h"
#include "app/command.h"
#include "app/ranges.h"
#include "base/file.h"
#include "base/shell_word.h"
#include "config/read.h"
#include "job/inputs.h"
#include "workflow/pretrain.h"

namespace gaggle {
namespace {

struct AlignOptions {
  std::vector<std::string> runs;  // run folders
  int64_t examples = 0;           // of each task, in a pass over a checkpoint; 0: what the runs measured themselves
  int64_t step = -1;              // the checkpoint's; -1: the newest
  int64_t pairs = 5;              // shown of the closest and of the most conflicting
};

// A pass over one run's checkpoint, whose config is in its folder.
AlignmentRun measured_by_pass(const fs::path& run, const AlignOptions& options, Session& session) {
  const Config config = read_config(run / "config.toml", {});
  const Inputs inputs = load_inputs(config, config.data.tasks, config.data.limit_examples);
  const auto base = load_base(config, inputs, session, BaseUse::training);
  session.run_dir = run;
  const SkillsRecipe recipe = skills_recipe({config.run.seed, base->sites(), base->content_digest(), base->dtype()},
                                            {config.data, config.lora, config.train, config.poly}, inputs.tasks,
                                            resolve_lanes(config, session));
  return measure_checkpoint(*base, inputs.tasks, recipe,
                            {run, checkpoints_of(run), options.step, options.examples, config.alignment},
                            *session.world);
}

Exit command_align(const AlignOptions& options) {
  if (options.step >= 0 && options.examples == 0)
    user_error("--step names the checkpoint of a pass: say how many examples of each task with --examples");
  std::vector<AlignmentRun> runs;
  bool first = true;
  if (options.examples == 0) {
    for (const std::string& run : options.runs) runs.push_back(read_alignment_run(run));
  } else {
    for (const std::string& run : options.runs)
      if (!fs::exists(fs::path(run) / "config.toml"))
        user_error("{}: config.toml is not there: expected the folder of a run of gaggle pretrain", run);
    Session session = start_session(read_config(fs::path(options.runs[0]) / "config.toml", {}), Purpose::look);
    first = session.world->rank() == 0;
    for (const std::string& run : options.runs) runs.push_back(measured_by_pass(run, options, session));
    end_session(session);
  }
  if (!first) return Exit::done;
  return print((runs.size() > 1 ? Page(comparison_table(runs)) : alignment_page(runs[0], options.pairs)) +
               fmt::format("{}/alignment   what was measured\nnext: gaggle cluster {}\n", options.runs[0],
                           shell_word(options.runs[0])));
}

}  // namespace

Command align_command() {
  return {"align", "Show and compare the gradient alignment of pretraining runs",
          [](CLI::App& parser) {
            const auto options = std::make_shared<AlignOptions>();
            parser.add_option("RUN", options->runs, "Run folders, e.g. runs/mhr")->required();
            parser
                .add_option("--examples", options->examples,
                            "Measure every pair of tasks at a checkpoint, with so many examples of each task")
                ->option_text("N")
                ->check(integer_from(1));
            add_format(parser);
            parser.add_option("--step", options->step, "The checkpoint's step (default: the newest)")
                ->option_text("N")
                ->check(integer_from(0));
            parser.add_option("--pairs", options->pairs, "Most and least alike pairs to show")
                ->option_text("N")
                ->check(integer_from(1))
                ->capture_default_str();
            return without_config(parser, [options] { return command_align(*options); });
          },
          "gaggle align runs/mhr runs/poly\ngaggle align runs/mhr --examples 32"};
}

}  // namespace gaggle
