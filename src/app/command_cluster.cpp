// gaggle cluster FROM: groups of tasks or experts that are alike, as tasks of several files.
#include "app/command.h"
#include "app/ranges.h"
#include "workflow/cluster.h"

namespace gaggle {
namespace {

// "auto", or how many.
const CLI::Validator count_or_auto(
    [](std::string& text) {
      if (text != "auto") return integer_from(1)(text);
      text = "0";
      return std::string();
    },
    "N or auto");

}  // namespace

Command cluster_command() {
  return {"cluster", "Group tasks or experts that are alike, and write task files of the groups",
          [](CLI::App& parser) {
            const auto request = std::make_shared<ClusterRequest>();
            parser
                .add_option("FROM", request->from,
                            "By gradients: the folder of a run of gaggle experts, or of gaggle pretrain with "
                            "alignment.every. By weights: a registry")
                ->required();
            parser.add_option("NAMES", request->names,
                              "Tasks of the run; experts or a collection of the registry, or, by routing rows, an "
                              "inventory of it (none: all tasks, all experts)");
            parser.add_option("--clusters", request->clusters, "How many; auto: by the largest mean silhouette")
                ->option_text("N|auto")
                ->transform(count_or_auto)
                ->default_str("auto");
            parser
                .add_option("--tasks", request->tasks,
                            "Task files or folders of the members (default: data.tasks of the run)")
                ->option_text("A,B")
                ->delimiter(',')
                ->allow_extra_args(false);
            add_format(parser);
            parser
                .add_option("--out", request->out, "A new folder for the task files, which get its name and a number")
                ->option_text("FOLDER");
            return without_config(parser, [request] { return print(cluster_page(*request)); });
          },
          "gaggle cluster runs/mhr --clusters 4 --out tasks/groups\ngaggle cluster registry tomi sarcasm"};
}

}  // namespace gaggle
