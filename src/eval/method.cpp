#include "eval/method.h"

#include <algorithm>

#include "adapter/random_routing.h"
#include "base/error.h"
#include "base/names.h"

namespace gaggle {
namespace {

struct PlainMethod {
  std::string_view name;
  MethodKind kind;
};
constexpr PlainMethod plain_methods[] = {{"none", MethodKind::none},      {"uniform", MethodKind::uniform},
                                         {"random", MethodKind::random},  {"phatgoose", MethodKind::phatgoose},
                                         {"arrow", MethodKind::arrow},    {"oracle", MethodKind::oracle},
                                         {"experts", MethodKind::single}, {"poly", MethodKind::poly},
                                         {"mu", MethodKind::mu},          {"shared", MethodKind::shared}};

// By what stands before the colon, if there is one.
MethodKind kind_of(const std::string& method) {
  const std::string name = method.substr(0, method.find(':'));
  if (name == "z") return MethodKind::routing_row;
  const auto known = std::ranges::find(plain_methods, name, &PlainMethod::name);
  return known == std::end(plain_methods) ? MethodKind::none : known->kind;
}

bool same(const Method& a, const Method& b) {
  if (a.inventory && b.inventory) return a.kind == b.kind && a.inventory->digest == b.inventory->digest;
  return a.name == b.name;
}

std::vector<std::string> ungated(const RoutedCollection& collection) {
  std::vector<std::string> names;
  for (size_t z = 0; z < collection.names.size(); ++z)
    if (!collection.gated(static_cast<int>(z))) names.push_back(collection.names[z]);
  return names;
}

// Experts that sit on some sites of the base only.
std::vector<std::string> partial(const RoutedCollection& collection) {
  std::vector<std::string> names;
  for (size_t z = 0; z < collection.names.size(); ++z)
    if (std::ranges::any_of(collection.sites, [&](const RoutedSite& site) { return !site.experts[z].a.defined(); }))
      names.push_back(collection.names[z]);
  return names;
}

}  // namespace

bool needs_collection(const EvalConfig& eval) {
  return std::ranges::any_of(eval.methods, [](const auto& name) { return name != "none" && !needs_inventory(name); });
}

std::string prompt_method(const EvalConfig& eval) {
  std::string baseline;
  for (const std::string& name : eval.methods) switch (kind_of(name)) {
      case MethodKind::phatgoose:
      case MethodKind::arrow:
      case MethodKind::mu:
      case MethodKind::shared:
      case MethodKind::routing_row:
        return name;
      case MethodKind::oracle:
      case MethodKind::poly:
      case MethodKind::single:
        break;
      default:
        if (baseline.empty() && name != "none") baseline = name;
    }
  return baseline.empty() && eval.methods == std::vector<std::string>{"none"} ? "none" : baseline;
}

std::vector<Method> read_methods(const Config& config, const RoutedCollection& collection,
                                 const Inventories& inventories) {
  std::vector<Method> methods;
  const auto add = [&](Method method) {
    if (std::ranges::none_of(methods, [&](const Method& known) { return same(known, method); }))
      methods.push_back(std::move(method));
  };
  for (const std::string& name : config.eval.methods) {
    if (name == "experts") {
      for (size_t z = 0; z < collection.names.size(); ++z)
        add({MethodKind::single, "expert:" + collection.names[z], static_cast<int>(z)});
    } else if (name.starts_with("expert:")) {
      const std::string expert = name.substr(7);
      const int number = collection.number_of(expert);
      if (number < 0)
        user_error("{}: no expert {} in the collection{}; it has {}", methods_origin(config), expert,
                   did_you_mean(expert, collection.names), join(collection.names, ", "));
      add({MethodKind::single, name, number});
    } else if (needs_inventory(name)) {
      add({kind_of(name), name, -1, inventories.at(name)});
    } else if (std::ranges::find(plain_methods, name, &PlainMethod::name) != std::end(plain_methods)) {
      add({kind_of(name), name, -1});
    } else {
      std::vector<std::string> known;
      for (const PlainMethod& method : plain_methods) known.emplace_back(method.name);
      user_error("{}: no method {}{}; there are {}, expert:NAME and z:NAME", methods_origin(config), name,
                 did_you_mean(name, known), join(known, ", "));
    }
    if (name == "phatgoose" && ungated(collection).size() == collection.names.size())
      user_error("{}: phatgoose needs gates, and none of the experts has any: train them with `gaggle gates {}`",
                 methods_origin(config), config.file);
  }
  if (methods.empty()) user_error("{}: no method to evaluate", methods_origin(config));
  return methods;
}

bool serves(const Method& method, const std::string& task) {
  return method.kind != MethodKind::poly || method.inventory->task_number(task) >= 0;
}

std::vector<std::string> notes_on(const std::vector<Method>& methods, const RoutedCollection& collection,
                                  const std::vector<std::string>& tasks) {
  std::vector<std::string> notes;
  for (const Method& method : methods) {
    if (method.kind == MethodKind::phatgoose)
      if (const auto names = ungated(collection); !names.empty())
        notes.push_back(fmt::format("phatgoose routes without {}: no gates", join(names, ", ")));
    if (method.kind == MethodKind::uniform)
      if (const auto names = partial(collection); !names.empty())
        notes.push_back(fmt::format("uniform is the mean over all {} experts; {} count as zero where they have no LoRA",
                                    collection.names.size(), join(names, ", ")));
    std::vector<std::string> left_out;
    for (const std::string& task : tasks)
      if (!serves(method, task)) left_out.push_back(task);
    if (!left_out.empty())
      notes.push_back(fmt::format("{} leaves out {}: {} has no routing row for {}", method.name, join(left_out, ", "),
                                  method.inventory->pin(), left_out.size() == 1 ? "it" : "them"));
    if (const std::string reason = not_finite_in(method, collection); !reason.empty())
      notes.push_back(fmt::format("{} is not scored: {}", method.name, reason));
  }
  return notes;
}

std::string not_finite_in(const Method& method, const RoutedCollection& collection) {
  if (method.inventory) return method.inventory->not_finite;
  if (method.kind == MethodKind::none || method.kind == MethodKind::oracle) return "";
  for (size_t z = 0; z < collection.not_finite.size(); ++z) {
    const auto expert = static_cast<int>(z);
    const bool used = method.kind == MethodKind::single      ? method.expert == expert
                      : method.kind == MethodKind::phatgoose ? collection.gated(expert)
                                                             : true;
    if (used && !collection.not_finite[z].empty()) return collection.not_finite[z];
  }
  return "";
}

std::string settings_of(const Method& method, const EvalConfig& eval, uint64_t seed) {
  if (method.inventory)
    return fmt::format("{} {}:{}", method.name.substr(0, method.name.find(':')), method.inventory->pin(),
                       method.inventory->digest);
  switch (method.kind) {
    case MethodKind::random:
      return fmt::format("random k={} seed={}", eval.top_k, seed);
    case MethodKind::phatgoose:
      return fmt::format("phatgoose k={}", eval.top_k);
    case MethodKind::arrow:
      return fmt::format("arrow {} k={}", eval.arrow, eval.top_k);
    default:
      return method.name;
  }
}

std::unique_ptr<RoutedAdapter> make_adapter(const Method& method, const RoutedCollection& collection,
                                            const EvalConfig& eval, uint64_t seed, const BaseModel& base,
                                            const std::string& task) {
  if (method.inventory) {
    const Inventory& inventory = *method.inventory;
    const int row = method.kind == MethodKind::poly ? inventory.task_number(task) : 0;
    return make_fixed(inventory.spec,
                      method.kind == MethodKind::mu ? averaged_skills(inventory.spec, inventory.values)
                                                    : mixed_adapter(inventory.spec, inventory.values, row),
                      base);
  }
  switch (method.kind) {
    case MethodKind::none:
      return nullptr;
    case MethodKind::uniform:
      return make_uniform(collection);
    case MethodKind::random:
      return make_random(collection, eval.top_k, seed);
    case MethodKind::phatgoose:
      return make_phatgoose(collection, eval.top_k);
    case MethodKind::arrow:
      return make_arrow(collection, eval.arrow == "phatgoose" ? Scoring::arrow_phatgoose : Scoring::arrow_mttl,
                        eval.top_k);
    case MethodKind::single:
      return make_single(collection, method.expert);
    default:
      GAGGLE_CHECK(false, "{} has no adapter of its own", method.name);
      return nullptr;
  }
}

}  // namespace gaggle
