// gaggle registry: what is in a registry, whether it is sound, and adapters in and out of it.
#include "app/command.h"
#include "library/merged.h"
#include "registry/verbs.h"

namespace gaggle {

Command registry_command() {
  return {"registry", "List, check and change what is in a registry", [](CLI::App& parser) {
            const auto request = std::make_shared<RegistryRequest>();
            parser.add_option("ACTION", request->action, "ls | show | verify | import | export | collect | rm")
                ->required()
                ->check(CLI::IsMember({"ls", "show", "verify", "import", "export", "collect", "rm"}));
            parser.add_option("ARGUMENTS", request->arguments,
                              "Names (experts/NAME, inventories/NAME, … where several kinds have it), or folders");
            request->registry = "registry";
            parser.add_option("--registry", request->registry, "The registry's folder")->capture_default_str();
            parser.add_option("--base", request->base, "Base model that imported adapters are checked against");
            parser
                .add_option("--drop", request->drop,
                            "Parts that import leaves out of adapters (lm_head, embed_tokens), or experts that "
                            "collect leaves out of the collection")
                ->delimiter(',');
            parser.add_option("--tasks", request->tasks, "Names of the tasks of an imported Poly folder: a,b,c")
                ->delimiter(',')
                ->allow_extra_args(false);
            parser.add_option("--base-path", request->base_path, "What an export calls its base: a hub name, …");
            parser.add_option("--to", request->to, "Folder that export writes");
            parser.add_flag("--mu", request->mu, "Export the averaged skills of an inventory, as a plain LoRA or IA3");
            parser.add_option("--task", request->task,
                              "Export this task's mixture of an inventory's skills, as a plain LoRA or IA3");
            parser.add_flag("--merged", request->merged,
                            "Export the mean of the experts of a collection, as one plain LoRA");
            parser.add_option("--rank", request->rank, "Rank of what --merged writes (default: that of the mean)");
            add_format(parser);
            request->export_merged = export_merged;
            parser.add_option("--add", request->add,
                              "Experts that collect adds to the collection (as those behind NAME)");
            parser.add_option("--only", request->only, "Experts that collect pins alone, whatever the collection has");
            parser.add_flag("--fold-scale", request->fold_scale,
                            "Export a LoRA with each site's scale in B and one rank, for readers that know one alpha");
            parser.add_option("--name", request->name, "Name of the one folder that is imported, or of the collection");
            parser.add_flag("--accept-base", request->accept_base,
                            "Write to a registry whose base has the same shapes but other contents");
            return without_config(parser, [request] { return act_on_registry(*request); });
          }};
}

}  // namespace gaggle
