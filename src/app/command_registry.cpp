// gaggle registry: what is in a registry, whether it is sound, and adapters in and out of it.
#include <algorithm>
#include <cstdio>

#include "app/commands.h"
#include "registry/listing.h"
#include "registry/pins.h"

namespace gaggle {
namespace {

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
  print(verdict_text(registry, complaints, options.registry.string()));
  return complaints.empty() ? Exit::done : Exit::failed;
}

Exit import_folders(const RegistryOptions& options) {
  need_arguments(options, 1, "PEFT LoRA, Poly or IA3 folders to import");
  if (!options.name.empty() && options.arguments.size() > 1)
    user_error("--name {}: belongs to an import of one folder, not of {}", options.name,
               options.arguments.size());
  std::optional<BaseShapes> base;
  if (!options.base.empty()) base = base_shapes(*open_model(options.base, ""));
  // All are read and judged first, so that a registry is not made for nothing.
  const auto folders = read_imports(options.arguments, options.name, base);
  const auto refused = [](const ImportedFolder& one) { return !one.refusal.empty(); };
  std::optional<Registry> registry;
  if (!std::ranges::all_of(folders, refused))
    registry = Registry::open(options.registry, base ? std::optional(base->fingerprint) : std::nullopt,
                              /*create=*/true, options.accept_base);
  print(import_all(registry ? &*registry : nullptr, folders, base));
  return std::ranges::any_of(folders, refused) ? Exit::some_set_aside : Exit::done;
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

}  // namespace

Exit command_registry(const RegistryOptions& options) {
  const std::string& action = options.action;
  if (options.mu && action != "export") user_error("--mu: belongs to gaggle registry export");
  if (action == "ls") return list_all(options);
  if (action == "show") return show(options);
  if (action == "verify") return verify(options);
  if (action == "import") return import_folders(options);
  if (action == "export") return export_one(options);
  if (action == "collect") return collect(options);
  if (action == "rm") return remove(options);
  user_error("gaggle registry {}: expected ls, show, verify, import, export, collect or rm", action);
}

}  // namespace gaggle
