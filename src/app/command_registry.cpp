// gaggle registry: what is in a registry, whether it is sound, and experts in and out of it.
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <set>

#include "app/commands.h"
#include "base/file.h"
#include "base/names.h"
#include "base/table.h"
#include "registry/import.h"

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

Exit list_experts(const RegistryOptions& options) {
  const Registry registry = open_existing(options);
  Table table({"expert", "version", "rank", "sites", "gated", "origin", "base", "size", "made from"});
  for (const ExpertInfo& info : registry.list())
    table.add({info.name, info.version + (info.current ? "" : " (old)"), number(info.rank), number(info.sites),
               info.gated ? "yes" : "no", info.origin, info.verified ? "verified" : "unverified",
               bytes_text(info.bytes), info.made_from});
  print(table.text());
  for (const std::string& name : registry.collections())
    print(fmt::format("collection {}: {} experts\n", name, registry.pins(name).size()));
  return Exit::done;
}

Exit show(const RegistryOptions& options) {
  need_arguments(options, 1, "an expert's name");
  const Registry registry = open_existing(options);
  for (const std::string& name : options.arguments) {
    const auto folder = registry.folder_of(name);
    print(fmt::format("{}\n", folder.string()));
    const auto sidecar = nlohmann::json::parse(registry.expert_json(name));
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
            ? fmt::format("{}: sound, {} versions\n", options.registry.string(), registry.list().size())
            : fmt::format("{}: {} complaints\n", options.registry.string(), complaints.size()));
  return complaints.empty() ? Exit::done : Exit::failed;
}

std::string import_name(const RegistryOptions& options, const fs::path& folder) {
  if (!options.name.empty()) return options.name;
  const fs::path whole = fs::absolute(folder).lexically_normal();
  return whole.has_filename() ? whole.filename() : whole.parent_path().filename();
}

Exit import_folders(const RegistryOptions& options) {
  need_arguments(options, 1, "PEFT LoRA folders to import");
  if (!options.name.empty() && options.arguments.size() > 1)
    user_error("--name {}: belongs to an import of one folder, not of {}", options.name,
               options.arguments.size());
  std::optional<BaseShapes> base;
  if (!options.base.empty()) base = base_shapes(*open_model(options.base, ""));

  // All are read and judged first, so that a registry is not made for nothing.
  struct Judged {
    std::string folder, name, refusal;
    std::optional<NewExpert> expert;
  };
  std::vector<Judged> all;
  std::set<std::string> names;
  for (const std::string& folder : options.arguments) {
    Judged judged{folder, import_name(options, folder), "", std::nullopt};
    try {
      judged.expert = read_import(folder, judged.name, base);
      if (!names.insert(judged.name).second) {
        judged.expert.reset();
        judged.refusal = fmt::format("another folder of this import is named {} too", judged.name);
      }
    } catch (const UserError& error) {
      judged.refusal = error.what();
    }
    all.push_back(std::move(judged));
  }

  const auto accepted = [](const Judged& judged) { return judged.expert.has_value(); };
  const bool any = std::any_of(all.begin(), all.end(), accepted);
  std::optional<Registry> registry;
  if (any)
    registry = Registry::open(options.registry, base ? std::optional(base->fingerprint) : std::nullopt,
                              /*create=*/true, options.accept_base);
  Table table({"folder", "", "expert", "why"});
  size_t refused = 0;
  for (Judged& judged : all) {
    if (judged.expert) {
      const std::string version = registry->commit(*judged.expert);
      table.add({judged.folder, "accepted", judged.name + "@" + version,
                 base ? "fits " + base->fingerprint.name : "base unverified (--base MODEL checks it)"});
    } else {
      table.add({judged.folder, "refused", "", judged.refusal});
      ++refused;
    }
  }
  print(table.text());
  print(fmt::format("{} accepted, {} refused\n", all.size() - refused, refused));
  return refused == 0 ? Exit::done : Exit::some_set_aside;
}

Exit export_one(const RegistryOptions& options) {
  if (options.arguments.size() != 1) user_error("gaggle registry export: expected one expert's name");
  if (options.to.empty()) user_error("gaggle registry export: --to DIR is missing");
  export_expert(open_existing(options), options.arguments[0], options.to);
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
  need_arguments(options, 1, "names of experts or collections");
  Registry registry = open_existing(options);
  for (const std::string& name : options.arguments) {
    registry.remove(name);
    print(fmt::format("{} removed\n", name));
  }
  return Exit::done;
}

}  // namespace

Exit command_registry(const RegistryOptions& options) {
  if (options.action == "ls") return list_experts(options);
  if (options.action == "show") return show(options);
  if (options.action == "verify") return verify(options);
  if (options.action == "import") return import_folders(options);
  if (options.action == "export") return export_one(options);
  if (options.action == "collect") return collect(options);
  if (options.action == "rm") return remove(options);
  user_error("gaggle registry {}: expected ls, show, verify, import, export, collect or rm", options.action);
}

}  // namespace gaggle
