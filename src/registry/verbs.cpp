#include "registry/verbs.h"

#include <map>

#include "base/log.h"
#include "base/shell_word.h"
#include "base/table.h"
#include "base/terminal.h"
#include "registry/import.h"
#include "registry/listing.h"
#include "registry/pins.h"

namespace gaggle {
namespace {

void need_arguments(const RegistryRequest& request, size_t least, const char* what) {
  if (request.arguments.size() < least) user_error("gaggle registry {}: expected {}", request.action, what);
}

Registry open_existing(const RegistryRequest& request) {
  return Registry::open(request.registry, std::nullopt, /*create=*/false);
}

Exit list_all(const RegistryRequest& request) {
  listing_page(open_existing(request), request.arguments).print();
  log::info("next: gaggle registry show {} NAME", shell_word(request.registry.string()));
  return Exit::done;
}

Exit verify(const RegistryRequest& request) {
  const Registry registry = open_existing(request);
  const auto complaints = registry.verify(request.arguments);
  write_out(soundness_block(registry, complaints, request.registry.string(), request.arguments));
  return complaints.empty() ? Exit::done : Exit::failed;
}

Exit import_adapters(const RegistryRequest& request) {
  for (const std::string& part : request.drop)
    if (part != "lm_head" && part != "embed_tokens") user_error("--drop {}: expected lm_head or embed_tokens", part);
  need_arguments(request, 1, "PEFT LoRA, Poly or IA3 folders to import");
  if (!request.name.empty() && request.arguments.size() > 1)
    user_error("--name {}: belongs to an import of one folder, not of {}", request.name, request.arguments.size());
  const ImportReport report = import_folders(request.registry, request.arguments, request.name, request.base,
                                             request.accept_base, {request.drop, request.tasks});
  report.page.print();
  if (report.refused < request.arguments.size())
    log::info(
        "next: gaggle registry collect {} NAME makes what is there a collection, gaggle gates CONFIG trains gates",
        shell_word(request.registry.string()));
  return report.refused > 0 ? Exit::some_set_aside : Exit::done;
}

Exit export_one(const RegistryRequest& request) {
  if (request.arguments.size() != 1) user_error("gaggle registry export: expected one name");
  if (request.to.empty()) user_error("gaggle registry export: --to DIR is missing");
  const Registry registry = open_existing(request);
  const std::string& name = request.arguments[0];
  const ExportTarget to{request.to, request.base_path};
  if (request.mu + request.fold_scale + !request.task.empty() + request.merged > 1)
    user_error("--mu, --task, --merged, --fold-scale: one of them; what the others write has one lora_alpha already");
  if (request.rank && !request.merged) user_error("--rank: belongs to gaggle registry export --merged");
  if (request.rank && *request.rank < 0)
    user_error("--rank {}: expected 1 or more, or 0 for the rank that the mean has", *request.rank);
  std::string words;
  if (request.merged)
    words = ": " + request.export_merged(registry, name, request.rank.value_or(0), to);
  else if (request.mu)
    export_mean(registry, name, to);
  else if (request.fold_scale)
    export_scale_in_b(registry, name, to);
  else if (!request.task.empty() ||
           registry.locate(name, {Kind::expert, Kind::inventory, Kind::routing_row}).kind == Kind::routing_row)
    export_mixture(registry, name, request.task, to);
  else
    export_version(registry, name, to);
  write_out(fmt::format("{} → {}{}\n", name, request.to, words));
  log::info("next, in Python: PeftModel.from_pretrained(model, \"{}\")", request.to);
  return Exit::done;
}

// What a collection is asked to pin: those it has and these, unless --only is given.
std::vector<std::string> asked_for(const RegistryRequest& request, const Registry& registry, const std::string& name,
                                   std::vector<std::string> add) {
  add.insert(add.end(), request.add.begin(), request.add.end());
  if (!request.only.empty()) {
    if (!add.empty() || !request.drop.empty()) user_error("--only: says all that is pinned; leave out other experts");
    return request.only;
  }
  const bool all = add.empty() && request.drop.empty();
  std::vector<std::string> experts = grown(registry, name, all ? experts_to_collect(registry) : add, request.drop);
  if (experts.empty() && !all) user_error("--drop: nothing would be left; gaggle registry rm {} removes it", name);
  return experts;
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
  const auto before = registry.find(Kind::collection, name);
  const auto old = request.only.empty() && before ? read_pins(*before) : std::vector<PinnedExpert>();
  const std::string version = registry.collect(name, asked_for(request, registry, name, experts));
  const auto pins = read_pins(registry.load(Kind::collection, name + "@" + version));
  write_out(fmt::format("collection {}@{}: {}{}\n", name, version, plural(static_cast<int64_t>(pins.size()), "expert"),
                        changes_text(old, pins)));
  log::info("next: gaggle eval CONFIG --eval.collection={}", name);
  return Exit::done;
}

Exit show(const RegistryRequest& request) {
  need_arguments(request, 1, "a name");
  for (const std::string& name : request.arguments) sidecar_page(open_existing(request).locate(name)).print();
  return Exit::done;
}

Exit remove(const RegistryRequest& request) {
  need_arguments(request, 1, "names");
  for (const std::string& name : request.arguments) {
    open_existing(request).remove(name);
    write_out(fmt::format("{} removed\n", name));
  }
  return Exit::done;
}

}  // namespace

Exit act_on_registry(const RegistryRequest& request) {
  static const std::map<std::string, Exit (*)(const RegistryRequest&)> verbs = {
      {"ls", list_all},       {"show", show},       {"verify", verify}, {"import", import_adapters},
      {"export", export_one}, {"collect", collect}, {"rm", remove}};
  return verbs.at(request.action)(request);
}

}  // namespace gaggle
