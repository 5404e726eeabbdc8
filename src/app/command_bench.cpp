// gaggle bench: the machine, every kernel and every kind of step on the config's base, as shares of what the machine can.
#include "app/command.h"
#include "app/ranges.h"
#include "bench/bench.h"
#include "job/plan.h"

namespace gaggle {

Command bench_command() {
  return {"bench", "Measure kernels and steps beside what the machine can do",
          [](CLI::App& parser) {
            const auto options = std::make_shared<BenchOptions>();
            options->title = program_text();
            RunCommand command =
                with_config(parser, [options](const Config& config) { return run_bench(config, *options); });
            parser
                .add_option("--only", options->only,
                            "Groups (machine, kernels, steps) or beginnings of lines' names, e.g. steps,routing")
                ->option_text("NAMES")
                ->delimiter(',');
            parser.add_option("--experts", options->experts, "N of routing and scoring (default: 1,8,64,256)")
                ->option_text("N,N")
                ->delimiter(',')
                ->check(integer_from(1, 4096));
            parser.add_option("--repeats", options->repeats, "Rounds (default: 7)")
                ->option_text("N")
                ->check(integer_from(1, 1000));
            parser.add_option("--json", options->json, "Also write the numbers to this file")->option_text("FILE");
            parser.add_option("--compare", options->compare, "What is better or worse than in this file of --json")
                ->option_text("FILE");
            add_format(parser);
            parser.add_flag("--fail-if-worse", options->fail_if_worse, "Exit code 1 where a line is worse");
            parser.add_flag("--small", options->small, "A batch of at most 512 tokens, N up to 8: seconds, for tests");
            return command;
          },
          "gaggle bench my.toml --json before.json\ngaggle bench my.toml --compare before.json"};
}

}  // namespace gaggle
