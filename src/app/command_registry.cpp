// gaggle registry: what is in a registry, whether it is sound, and adapters in and out of it. Each action has its own options.
#include <algorithm>

#include "app/command.h"
#include "app/where.h"
#include "library/merged.h"
#include "registry/verbs.h"

namespace gaggle {
namespace {

// What an action has besides its request: --registry, and whether the registry has to be there.
struct RegistryAction {
  RegistryRequest request;
  std::string option;
  bool makes = false;
};

constexpr std::string_view ending_in_tables[] = {"ls", "show", "import"};

using Declare = void (*)(CLI::App& parser, RegistryRequest& request);

// `arguments`: how they are written, and what they are.
Command action_of(const char* name, const char* help, const char* arguments, const char* about, Declare declare,
                  const char* examples) {
  const auto options = [=](CLI::App& parser) -> RunCommand {
    const auto action = std::make_shared<RegistryAction>();
    RegistryRequest& request = action->request;
    request.action = name;
    request.export_merged = export_merged;
    action->makes = request.action == "import";
    const bool tabular = std::ranges::count(ending_in_tables, request.action) > 0;
    parser
        .add_option(
            "NAME", request.arguments,
            std::string(about) + ". Before them the registry, or a config that names it, unless it is ./registry")
        ->option_text(std::string("[CONFIG|REGISTRY] ") + arguments);
    declare(parser, request);
    parser.add_option("--registry", action->option, "The registry, in place of the first argument")
        ->option_text("FOLDER|CONFIG");
    if (tabular) add_format(parser);
    return [&parser, action](const std::vector<std::string>& overrides) {
      RegistryRequest& asked = action->request;
      const Where where = take_registry(parser, asked.arguments, action->option, overrides);
      if (!action->makes) need_registry(parser, where);
      asked.registry = where.folder;
      if (where.config && asked.base.empty() && action->makes) asked.base = where.config->model.path;
      return act_on_registry(asked);
    };
  };
  return {name, help, options, examples};
}

void nothing_more(CLI::App&, RegistryRequest&) {}

// Values of one option after the other, or with commas; what follows are arguments again.
CLI::Option* add_list(CLI::App& parser, const char* name, std::vector<std::string>& list, const char* help) {
  return parser.add_option(name, list, help)->delimiter(',')->allow_extra_args(false)->take_all();
}

void declare_import(CLI::App& parser, RegistryRequest& request) {
  parser
      .add_option("--base", request.base,
                  "Base model that the adapters are checked against, and that a new registry is of; with a CONFIG its "
                  "model.path")
      ->option_text("MODEL");
  parser.add_option("--name", request.name, "What the one folder is called in the registry")->option_text("NAME");
  add_list(parser, "--drop", request.drop, "Parts to leave out: lm_head, embed_tokens")->option_text("A,B");
  add_list(parser, "--tasks", request.tasks, "Names of the tasks of a Poly folder, in its order")->option_text("A,B,C");
  parser.add_flag("--accept-base", request.accept_base,
                  "Write to a registry whose base has the same shapes but other contents");
}

void declare_export(CLI::App& parser, RegistryRequest& request) {
  parser.add_option("--to", request.to, "The new folder")->option_text("FOLDER")->required();
  parser.add_flag("--merged", request.merged, "Of a collection: the mean of its experts, as one plain LoRA");
  parser.add_option("--rank", request.rank, "Rank of what --merged writes (default: that of the mean)")
      ->option_text("R");
  parser.add_flag("--mu", request.mu, "Of an inventory: its averaged skills, as a plain LoRA or IA3");
  parser
      .add_option("--task", request.task, "Of an inventory: this task's mixture of its skills, as a plain LoRA or IA3")
      ->option_text("TASK");
  parser.add_flag("--fold-scale", request.fold_scale,
                  "Of a LoRA: with each site's scale in B and one rank, for readers that know one alpha");
  parser.add_option("--base-path", request.base_path, "What the folder calls its base: a hub name, …")
      ->option_text("NAME");
}

void declare_collect(CLI::App& parser, RegistryRequest& request) {
  parser.add_option("--add", request.add, "Experts that join it, as those behind NAME do")->option_text("EXPERT…");
  add_list(parser, "--drop", request.drop, "Experts that leave it")->option_text("A,B");
  parser.add_option("--only", request.only, "Experts that it has alone, whatever it had")->option_text("EXPERT…");
  parser.add_option("--name", request.name, "The collection's name, if not first argument")->option_text("NAME");
}

}  // namespace

Command registry_command() {
  const char* names = "Names; experts/NAME, inventories/NAME, … where several kinds have it; NAME@v0001: that version";
  const char* patterns = "Only these; patterns too, as 'bb-*' (none: all)";
  return {"registry", "List, check and change what is in a registry",
          with_actions(
              {action_of("ls", "List experts, inventories, routing rows and collections", "[NAME…]", patterns,
                         nothing_more, "gaggle registry ls my.toml\ngaggle registry ls runs/registry 'bb-*'"),
               action_of("show", "Show what is known of one version", "NAME…", names, nothing_more,
                         "gaggle registry show my.toml tomi@v0002"),
               action_of("verify",
                         "Read everything and hold it against what was committed; exit code 1: something is wrong",
                         "[NAME…]", patterns, nothing_more, "gaggle registry verify my.toml"),
               action_of("import", "Take in PEFT folders: LoRA, Poly, IA3", "FOLDER…", "PEFT folders", declare_import,
                         "gaggle registry import my.toml loras/*\ngaggle registry import loras/sql --base org/model"),
               action_of("export", "Write one as a PEFT folder that PEFT loads", "NAME", names, declare_export,
                         "gaggle registry export my.toml tomi --to tomi-lora\n"
                         "gaggle registry export demo --merged --rank 16 --to mean"),
               action_of("collect", "Pin experts as a collection that is routed through", "NAME [EXPERT…]",
                         "The collection, and experts that join it (none: all there are)", declare_collect,
                         "gaggle registry collect my.toml demo\ngaggle registry collect demo --drop tomi"),
               action_of("rm", "Remove all versions of a name, unless something needs it", "NAME…", names, nothing_more,
                         "gaggle registry rm my.toml tomi")})};
}

}  // namespace gaggle
