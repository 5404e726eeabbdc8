#include "registry/verbs.h"

#include <cstdio>
#include <map>

#include "registry/import.h"
#include "registry/listing.h"
#include "registry/pins.h"

namespace gaggle {
namespace {

void print(const std::string& text) { std::fputs(text.c_str(), stdout); }

void need_arguments(const RegistryRequest& request, size_t least, const char* what) {
  if (request.arguments.size() < least) user_error("gaggle registry {}: expected {}", request.action, what);
}

Registry open_existing(const RegistryRequest& request) {
  return Registry::open(request.registry, std::nullopt, /*create=*/false);
}

Exit list_all(const RegistryRequest& request) {
  print(listing_text(open_existing(request)));
  return Exit::done;
}

Exit verify(const RegistryRequest& request) {
  const Registry registry = open_existing(request);
  const auto complaints = registry.verify();
  print(soundness_block(registry, complaints, request.registry.string()));
  return complaints.empty() ? Exit::done : Exit::failed;
}

Exit import_adapters(const RegistryRequest& request) {
  for (const std::string& part : request.drop)
    if (part != "lm_head" && part != "embed_tokens")
      user_error("--drop {}: expected lm_head or embed_tokens; name the folders before --drop", part);
  need_arguments(request, 1, "PEFT LoRA, Poly or IA3 folders to import");
  if (!request.name.empty() && request.arguments.size() > 1)
    user_error("--name {}: belongs to an import of one folder, not of {}", request.name, request.arguments.size());
  const ImportReport report = import_folders(request.registry, request.arguments, request.name, request.base,
                                             request.accept_base, {request.drop, request.tasks});
  print(report.text);
  return report.refused > 0 ? Exit::some_set_aside : Exit::done;
}

Exit export_one(const RegistryRequest& request) {
  if (request.arguments.size() != 1) user_error("gaggle registry export: expected one name");
  if (request.to.empty()) user_error("gaggle registry export: --to DIR is missing");
  (request.mu ? export_mean : export_version)(open_existing(request), request.arguments[0], request.to,
                                              request.base_path);
  print(fmt::format("{} → {}\n", request.arguments[0], request.to));
  return Exit::done;
}

Exit collect(const RegistryRequest& request) {
  std::vector<std::string> experts = request.arguments;
  std::string name = request.name;
  if (name.empty()) {
    need_arguments(request, 1, "the collection's name, then experts (none: all)");
    name = experts.front();
    experts.erase(experts.begin());
  }
  Registry registry = open_existing(request);
  const std::string version = registry.collect(name, experts);
  const size_t pinned = read_pins(registry.load(Kind::collection, name + "@" + version)).size();
  print(fmt::format("collection {}@{}: {} experts\n", name, version, pinned));
  return Exit::done;
}

Exit show(const RegistryRequest& request) {
  need_arguments(request, 1, "a name");
  for (const std::string& name : request.arguments) print(sidecar_block(open_existing(request).locate(name)));
  return Exit::done;
}

Exit remove(const RegistryRequest& request) {
  need_arguments(request, 1, "names");
  for (const std::string& name : request.arguments) {
    open_existing(request).remove(name);
    print(fmt::format("{} removed\n", name));
  }
  return Exit::done;
}

}  // namespace

Exit act_on_registry(const RegistryRequest& request) {
  const auto belongs = [&](const char* option, bool given, const char* action) {
    if (given && request.action != action) user_error("{}: belongs to gaggle registry {}", option, action);
  };
  belongs("--mu", request.mu, "export");
  belongs("--base-path", !request.base_path.empty(), "export");
  belongs("--drop", !request.drop.empty(), "import");
  belongs("--tasks", !request.tasks.empty(), "import");
  static const std::map<std::string, Exit (*)(const RegistryRequest&)> verbs = {
      {"ls", list_all},       {"show", show},       {"verify", verify}, {"import", import_adapters},
      {"export", export_one}, {"collect", collect}, {"rm", remove}};
  return verbs.at(request.action)(request);
}

}  // namespace gaggle
