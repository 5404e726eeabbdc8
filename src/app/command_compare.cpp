// gaggle compare A B: two evaluations, or the methods of one, on the same rows. Reads files alone.
#include <algorithm>
#include <memory>

#include "app/command.h"
#include "eval/comparison.h"

namespace gaggle {
namespace {

struct CompareOptions {
  std::vector<std::string> evaluations;
  std::string against;
  bool by_task = false;
};

Exit compare_evaluations(const CompareOptions& options) {
  if (options.evaluations.size() > 2)
    user_error("{}: two evaluations are compared, or the methods of one", options.evaluations[2]);
  const ScoredEvaluation a = read_evaluation(options.evaluations[0]);
  if (options.evaluations.size() == 2) {
    if (!options.against.empty()) user_error("--against is for the methods of one evaluation; these are two");
    return print(comparison_page(compare(a, read_evaluation(options.evaluations[1])), options.by_task));
  }
  const bool has_gates = std::ranges::find(a.methods, "phatgoose") != a.methods.end();
  const std::string against = !options.against.empty() ? options.against : has_gates ? "phatgoose" : a.methods.at(0);
  return print(comparison_page(compare_methods(a, against), options.by_task));
}

}  // namespace

Command compare_command() {
  return {"compare", "Compare two evaluations, or the methods of one, row by row",
          [](CLI::App& parser) {
            const auto options = std::make_shared<CompareOptions>();
            parser
                .add_option("EVALUATION", options->evaluations,
                            "One or two of: a run's folder, its eval folder, a results.json in it")
                ->required();
            parser
                .add_option("--against", options->against,
                            "Of one evaluation: the method that the others are compared with (default: phatgoose, else "
                            "the first)")
                ->option_text("METHOD");
            parser.add_flag("--by-task", options->by_task, "Also each task of each method");
            add_format(parser);
            return without_config(parser, [options] { return compare_evaluations(*options); });
          },
          "gaggle compare runs/before runs/after\ngaggle compare runs/demo --against merged --by-task"};
}

}  // namespace gaggle
