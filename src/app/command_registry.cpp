// gaggle registry: what is in a registry, whether it is sound, and adapters in and out of it.
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <set>
#include <variant>

#include "app/command.h"
#include "app/commands.h"
#include "base/file.h"
#include "base/names.h"
#include "base/table.h"
#include "registry/import.h"
#include "registry/rows.h"
#include "registry/sidecar.h"

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

std::string number(int64_t value) {
  return value > 0 ? with_commas(value) : "-";
}

std::string version_cell(const VersionInfo& info) {
  return info.version + (info.current ? "" : " (old)");
}

std::string base_cell(const VersionInfo& info) {
  return info.verified ? "verified" : "unverified";
}

std::string experts_table(const Registry& registry) {
  const auto infos = registry.list();
  if (infos.empty()) return "";
  Table table({"expert", "version", "rank", "sites", "gated", "origin", "base", "size", "made from"});
  for (const ExpertInfo& info : infos)
    table.add({info.name, version_cell(info), number(info.rank), number(info.sites), info.gated ? "yes" : "no",
               info.origin, base_cell(info), bytes_text(info.bytes), info.made_from});
  return table.text();
}

std::string routed_table(const Registry& registry) {
  const auto infos = list_routed(registry);
  if (infos.empty()) return "";
  Table table({"routed", "version", "method", "tasks", "skills", "heads", "rank", "sites", "origin", "base",
               "size", "made from"});
  for (const RoutedInfo& info : infos)
    table.add({info.name, version_cell(info), info.method, number(info.tasks), number(info.skills),
               number(info.heads), number(info.rank), number(info.sites), info.origin, base_cell(info),
               bytes_text(info.bytes), info.made_from});
  return table.text();
}

std::string rows_table(const Registry& registry) {
  const auto infos = list_rows(registry);
  if (infos.empty()) return "";
  Table table({"row", "version", "task", "parent", "size"});
  for (const RowInfo& info : infos)
    table.add({info.name, version_cell(info), info.task, info.parent, bytes_text(info.bytes)});
  return table.text();
}

Exit list_all(const RegistryOptions& options) {
  const Registry registry = open_existing(options);
  std::string text = experts_table(registry) + routed_table(registry) + rows_table(registry);
  for (const std::string& name : registry.collections())
    text += fmt::format("collection {}: {} experts\n", name, registry.pins(name).size());
  print(text.empty() ? "nothing in it yet\n" : text);
  return Exit::done;
}

Exit show(const RegistryOptions& options) {
  need_arguments(options, 1, "a name");
  const Registry registry = open_existing(options);
  for (const std::string& name : options.arguments) {
    const Located located = registry.locate(name, {all_kinds.begin(), all_kinds.end()});
    print(fmt::format("{}\n", located.folder.string()));
    const auto sidecar = read_sidecar(located.folder, located.kind);
    Table table({"key", "value"});
    // Nested objects flattened ("metrics.loss"), so that one glance down the column finds a value.
    const auto flat = sidecar.flatten();
    for (const auto& [path, value] : flat.items()) {
      std::string key = path.substr(1);
      for (char& c : key)
        if (c == '/') c = '.';
      table.add({key, value.is_string() ? value.get<std::string>() : value.dump()});
    }
    print(table.text());
  }
  return Exit::done;
}

Exit verify(const RegistryOptions& options) {
  const Registry registry = open_existing(options);
  const auto complaints = registry.verify();
  for (const std::string& complaint : complaints) print(complaint + "\n");
  print(complaints.empty()
            ? fmt::format("{}: sound, {} versions\n", options.registry.string(),
                          registry.list().size() + list_routed(registry).size() + list_rows(registry).size())
            : fmt::format("{}: {} complaints\n", options.registry.string(), complaints.size()));
  return complaints.empty() ? Exit::done : Exit::failed;
}

std::string import_name(const RegistryOptions& options, const fs::path& folder) {
  if (!options.name.empty()) return options.name;
  const fs::path whole = fs::absolute(folder).lexically_normal();
  return whole.has_filename() ? whole.filename() : whole.parent_path().filename();
}

// A folder of an import: what it holds, or why it is refused.
struct Judged {
  std::string folder, name, refusal;
  std::variant<std::monostate, NewExpert, NewRouted> adapter;
  bool refused() const { return adapter.index() == 0; }
};

Judged judge(const std::string& folder, const std::string& name, const std::optional<BaseShapes>& base,
             std::set<std::string>& names) {
  Judged judged{folder, name, "", {}};
  try {
    if (fs::is_directory(folder) && holds_routed(folder))
      judged.adapter = read_routed_import(folder, name, base);
    else
      judged.adapter = read_import(folder, name, base);
    if (!names.insert(name).second) user_error("another folder of this import is named {} too", name);
  } catch (const UserError& error) {
    judged.adapter = {};
    judged.refusal = error.what();
  }
  return judged;
}

// The committed version's name, "tomi@v0001" or "routed/mhr@v0001".
std::string commit_import(Registry& registry, const Judged& judged) {
  if (const auto* routed = std::get_if<NewRouted>(&judged.adapter))
    return fmt::format("{}/{}@{}", words_of(Kind::routed).folder, judged.name,
                       commit_routed(registry, *routed));
  return judged.name + "@" + registry.commit(std::get<NewExpert>(judged.adapter));
}

Exit import_folders(const RegistryOptions& options) {
  need_arguments(options, 1, "PEFT LoRA or Poly folders to import");
  if (!options.name.empty() && options.arguments.size() > 1)
    user_error("--name {}: belongs to an import of one folder, not of {}", options.name,
               options.arguments.size());
  std::optional<BaseShapes> base;
  if (!options.base.empty()) base = base_shapes(*open_model(options.base, ""));

  // All are read and judged first, so that a registry is not made for nothing.
  std::vector<Judged> all;
  std::set<std::string> names;
  for (const std::string& folder : options.arguments)
    all.push_back(judge(folder, import_name(options, folder), base, names));
  std::optional<Registry> registry;
  if (!std::ranges::all_of(all, &Judged::refused))
    registry = Registry::open(options.registry, base ? std::optional(base->fingerprint) : std::nullopt,
                              /*create=*/true, options.accept_base);
  Table table({"folder", "", "as", "why"});
  for (const Judged& judged : all)
    if (judged.refused())
      table.add({judged.folder, "refused", "", judged.refusal});
    else
      table.add({judged.folder, "accepted", commit_import(*registry, judged),
                 base ? "fits " + base->fingerprint.name : "base unverified (--base MODEL checks it)"});
  print(table.text());
  const auto refused = static_cast<size_t>(std::ranges::count_if(all, &Judged::refused));
  print(fmt::format("{} accepted, {} refused\n", all.size() - refused, refused));
  return refused == 0 ? Exit::done : Exit::some_set_aside;
}

Exit export_one(const RegistryOptions& options) {
  if (options.arguments.size() != 1) user_error("gaggle registry export: expected one name");
  if (options.to.empty()) user_error("gaggle registry export: --to DIR is missing");
  const Registry registry = open_existing(options);
  (options.mu ? export_mean : export_version)(registry, options.arguments[0], options.to);
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
  Registry registry = Registry::open(options.registry, std::nullopt, /*create=*/false);
  const std::string version = registry.collect(name, experts);
  print(fmt::format("collection {}@{}: {} experts\n", name, version, registry.pins(name).size()));
  return Exit::done;
}

Exit remove(const RegistryOptions& options) {
  need_arguments(options, 1, "names");
  Registry registry = open_existing(options);
  for (const std::string& name : options.arguments) {
    registry.remove(name);
    print(fmt::format("{} removed\n", name));
  }
  return Exit::done;
}

}  // namespace

Exit command_registry(const RegistryOptions& options) {
  if (options.mu && options.action != "export") user_error("--mu: belongs to gaggle registry export");
  if (options.action == "ls") return list_all(options);
  if (options.action == "show") return show(options);
  if (options.action == "verify") return verify(options);
  if (options.action == "import") return import_folders(options);
  if (options.action == "export") return export_one(options);
  if (options.action == "collect") return collect(options);
  if (options.action == "rm") return remove(options);
  user_error("gaggle registry {}: expected ls, show, verify, import, export, collect or rm", options.action);
}

Command registry_command() {
  return {"registry", "List, check and change what is in a registry", [](CLI::App& parser) {
            const auto options = std::make_shared<RegistryOptions>();
            const std::vector<std::string> actions = {"ls", "show", "verify", "import", "export", "collect", "rm"};
            parser.add_option("ACTION", options->action, join(actions, " | "))
                ->required()
                ->check(CLI::IsMember(actions));
            parser.add_option("ARGUMENTS", options->arguments,
                              "Names (experts/NAME, routed/NAME, … where several kinds have it), or folders");
            options->registry = "registry";
            parser.add_option("--registry", options->registry, "The registry's folder")->capture_default_str();
            parser.add_option("--base", options->base, "Base model that imported adapters are checked against");
            parser.add_option("--to", options->to, "Folder that export writes");
            parser.add_flag("--mu", options->mu, "Export the averaged skills of an inventory, as a plain LoRA");
            parser.add_option("--name", options->name,
                              "Name of the one folder that is imported, or of the collection");
            parser.add_flag("--accept-base", options->accept_base,
                            "Write to a registry whose base has the same shapes but other contents");
            return without_config(parser, [options] { return command_registry(*options); });
          }};
}

}  // namespace gaggle
