// gaggle registry: what is in a registry, whether it is sound, and adapters in and out of it.
#include <cstdio>
#include <map>

#include "app/command.h"
#include "registry/import.h"
#include "registry/listing.h"
#include "registry/pins.h"

namespace gaggle {
namespace {

struct RegistryOptions {
  std::string action;                  // ls | show | verify | import | export | collect | rm
  std::filesystem::path registry;      // --registry, default "registry"
  std::vector<std::string> arguments;  // names or folders
  std::string base;                    // --base: model path; imported adapters are checked against it
  std::string to;                      // --to: where export writes
  bool mu = false;                     // --mu: export the averaged skills of an inventory
  std::string name;                    // --name: of an import of one folder
  bool accept_base = false;
};

void print(const std::string& text) {
  std::fputs(text.c_str(), stdout);
}

void need_arguments(const RegistryOptions& options, size_t least, const char* what) {
  if (options.arguments.size() < least) user_error("gaggle registry {}: expected {}", options.action, what);
}

Registry open_existing(const RegistryOptions& options) {
  return Registry::open(options.registry, std::nullopt, /*create=*/false);
}

Exit list_all(const RegistryOptions& options) {
  print(listing_text(open_existing(options)));
  return Exit::done;
}

Exit verify(const RegistryOptions& options) {
  const Registry registry = open_existing(options);
  const auto complaints = registry.verify();
  print(verdict_block(registry, complaints, options.registry.string()));
  return complaints.empty() ? Exit::done : Exit::failed;
}

Exit import_adapters(const RegistryOptions& options) {
  need_arguments(options, 1, "PEFT LoRA, Poly or IA3 folders to import");
  if (!options.name.empty() && options.arguments.size() > 1)
    user_error("--name {}: belongs to an import of one folder, not of {}", options.name,
               options.arguments.size());
  const ImportReport report =
      import_folders(options.registry, options.arguments, options.name, options.base, options.accept_base);
  print(report.text);
  return report.refused > 0 ? Exit::some_set_aside : Exit::done;
}

Exit export_one(const RegistryOptions& options) {
  if (options.arguments.size() != 1) user_error("gaggle registry export: expected one name");
  if (options.to.empty()) user_error("gaggle registry export: --to DIR is missing");
  (options.mu ? export_mean : export_version)(open_existing(options), options.arguments[0], options.to);
  print(fmt::format("{} → {}\n", options.arguments[0], options.to));
  return Exit::done;
}

Exit collect(const RegistryOptions& options) {
  std::vector<std::string> experts = options.arguments;
  std::string name = options.name;
  if (name.empty()) {
    need_arguments(options, 1, "the collection's name, then experts (none: all)");
    name = experts.front();
    experts.erase(experts.begin());
  }
  Registry registry = open_existing(options);
  const std::string version = registry.collect(name, experts);
  const size_t pinned = read_pins(registry.load(Kind::collection, name + "@" + version)).size();
  print(fmt::format("collection {}@{}: {} experts\n", name, version, pinned));
  return Exit::done;
}

Exit show(const RegistryOptions& options) {
  need_arguments(options, 1, "a name");
  for (const std::string& name : options.arguments) print(version_text(open_existing(options).locate(name)));
  return Exit::done;
}

Exit remove(const RegistryOptions& options) {
  need_arguments(options, 1, "names");
  for (const std::string& name : options.arguments) {
    open_existing(options).remove(name);
    print(fmt::format("{} removed\n", name));
  }
  return Exit::done;
}

const std::map<std::string, Exit (*)(const RegistryOptions&)>& verbs() {
  static const std::map<std::string, Exit (*)(const RegistryOptions&)> verbs = {
      {"ls", list_all},       {"show", show},       {"verify", verify}, {"import", import_adapters},
      {"export", export_one}, {"collect", collect}, {"rm", remove}};
  return verbs;
}

Exit act(const RegistryOptions& options) {
  if (options.mu && options.action != "export") user_error("--mu: belongs to gaggle registry export");
  return verbs().at(options.action)(options);
}

}  // namespace

Command registry_command() {
  return {"registry", "List, check and change what is in a registry", [](CLI::App& parser) {
            const auto options = std::make_shared<RegistryOptions>();
            parser.add_option("ACTION", options->action, "ls | show | verify | import | export | collect | rm")
                ->required()
                ->check(CLI::IsMember(verbs()));
            parser.add_option(
                "ARGUMENTS", options->arguments,
                "Names (experts/NAME, inventories/NAME, … where several kinds have it), or folders");
            options->registry = "registry";
            parser.add_option("--registry", options->registry, "The registry's folder")->capture_default_str();
            parser.add_option("--base", options->base, "Base model that imported adapters are checked against");
            parser.add_option("--to", options->to, "Folder that export writes");
            parser.add_flag("--mu", options->mu,
                            "Export the averaged skills of an inventory, as a plain LoRA or IA3");
            parser.add_option("--name", options->name,
                              "Name of the one folder that is imported, or of the collection");
            parser.add_flag("--accept-base", options->accept_base,
                            "Write to a registry whose base has the same shapes but other contents");
            return without_config(parser, [options] { return act(*options); });
          }};
}

}  // namespace gaggle
