#include "eval/method.h"

#include <algorithm>

#include "adapter/random_routing.h"
#include "base/error.h"
#include "base/names.h"
#include "base/table.h"
#include "config/method_text.h"
#include "eval/left_out.h"
#include "eval/routing_of.h"

namespace gaggle {
namespace {

struct PlainMethod {
  std::string_view name;
  MethodKind kind;
};
constexpr PlainMethod plain_methods[] = {
    {"none", MethodKind::none},           {"merged", MethodKind::merged},
    {"random", MethodKind::random},       {"phatgoose", MethodKind::phatgoose},
    {"average", MethodKind::average},     {"arrow", MethodKind::arrow},
    {"spectr", MethodKind::spectr},       {"arrow+spectr", MethodKind::arrow_spectr},
    {"retrieval", MethodKind::retrieval}, {"best", MethodKind::best},
    {"oracle", MethodKind::oracle},       {"target", MethodKind::target},
    {"experts", MethodKind::single},      {"expert", MethodKind::single},
    {"poly", MethodKind::poly},           {"mu", MethodKind::mu},
    {"shared", MethodKind::shared},       {"z", MethodKind::routing_row}};

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

int expert_number(const std::string& expert, const RoutedCollection& collection) {
  const int number = collection.number_of(expert);
  if (number < 0)
    user_error("no expert {} in the collection{}; it has {}", expert, did_you_mean(expert, collection.names),
               join(collection.names, ", "));
  return number;
}

MethodKind kind_of_method(const std::string& method) {
  // By what stands before a colon and before keys, if there are any.
  const auto known = std::ranges::find(plain_methods, method.substr(0, method.find_first_of(": ")), &PlainMethod::name);
  GAGGLE_CHECK(known != std::end(plain_methods), "no method {}", method);
  return known->kind;
}

ScoredTask scored_task(const TokenTask& task) { return {task.name, task.category}; }

std::vector<ScoredTask> scored_tasks(const std::vector<TokenTask>& tasks) {
  std::vector<ScoredTask> all;
  for (const TokenTask& task : tasks) all.push_back(scored_task(task));
  return all;
}

bool is_routed(MethodKind kind) {
  switch (kind) {
    case MethodKind::phatgoose:
    case MethodKind::average:
    case MethodKind::arrow:
    case MethodKind::spectr:
    case MethodKind::arrow_spectr:
    case MethodKind::retrieval:
      return true;
    default:
      return false;
  }
}

bool depends_on_task(const Method& method) {
  const bool masked = is_routed(method.kind) || method.kind == MethodKind::random;
  return method.kind == MethodKind::poly || method.kind == MethodKind::target ||
         (masked && depends_on_task(method.eval.leave_out));
}

bool needs_collection(const EvalConfig& eval) {
  return std::ranges::any_of(eval.methods, [](const std::string& text) {
    const MethodKind kind = kind_of_method(text);
    return kind != MethodKind::none && kind != MethodKind::target && !needs_inventory(text);
  });
}

std::string prompt_method(const EvalConfig& eval) {
  std::string baseline;
  for (const std::string& text : eval.methods) switch (const MethodKind kind = kind_of_method(text)) {
      case MethodKind::mu:
      case MethodKind::shared:
      case MethodKind::routing_row:
        return text;
      case MethodKind::oracle:
      case MethodKind::target:
      case MethodKind::poly:
        break;
      case MethodKind::single:
        if (text == "experts") break;
        [[fallthrough]];
      default:
        if (is_routed(kind)) return text;
        if (baseline.empty() && kind != MethodKind::none) baseline = text;
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
  for (const std::string& entry : config.eval.methods) try {
      const MethodText text = read_method_text(config, entry);
      const MethodKind kind = kind_of_method(text.name);
      if (text.name == "experts") {
        for (size_t z = 0; z < collection.names.size(); ++z)
          add({kind, "expert:" + collection.names[z], static_cast<int>(z), nullptr, text.eval});
      } else if (kind == MethodKind::single) {
        add({kind, text.whole, expert_number(text.name.substr(7), collection), nullptr, text.eval});
      } else if (needs_inventory(text.name)) {
        add({kind, text.whole, -1, inventories.at(text.name), text.eval});
      } else {
        add({kind, text.whole, -1, nullptr, text.eval});
      }
      if (!keys_of_method(text.name).empty()) check_left_out(text.eval.leave_out, collection);
      const bool by_gates = kind == MethodKind::phatgoose || (is_routed(kind) && text.eval.abstain);
      if (by_gates && ungated(collection).size() == collection.names.size())
        user_error("{} needs gates, and none of the experts has any: train them with `gaggle gates {}`", text.whole,
                   config.file);
    } catch (const UserError& error) {
      user_error("{}: {}", methods_origin(config), error.what());
    }
  if (methods.empty()) user_error("{}: no method to evaluate", methods_origin(config));
  return methods;
}

bool serves(const Method& method, const std::string& task) {
  if (method.kind == MethodKind::target) return method.targets->collection.number_of(task) >= 0;
  return method.kind != MethodKind::poly || method.inventory->task_number(task) >= 0;
}

std::vector<std::string> notes_on(const std::vector<Method>& methods, const RoutedCollection& collection,
                                  const std::vector<ScoredTask>& tasks) {
  std::vector<std::string> notes;
  for (const Method& method : methods) {
    if (method.kind == MethodKind::phatgoose)
      if (const auto names = ungated(collection); !names.empty())
        notes.push_back(fmt::format("{} routes without {}: no gates", method.name, join(names, ", ")));
    if (method.kind == MethodKind::merged)
      if (const auto names = partial(collection); !names.empty())
        notes.push_back(fmt::format("merged is the mean over {}; where they have no LoRA, these count as zero: {}",
                                    plural(collection.names.size(), "expert"), join(names, ", ")));
    std::vector<std::string> left_out;
    for (const ScoredTask& task : tasks)
      if (!serves(method, task.name)) left_out.push_back(task.name);
    if (!left_out.empty() && method.kind == MethodKind::target)
      notes.push_back(fmt::format("target leaves out {}: the registry has no expert of {}", join(left_out, ", "),
                                  left_out.size() == 1 ? "that name" : "these names"));
    if (!left_out.empty() && method.inventory)
      notes.push_back(fmt::format("{} leaves out {}: {} has no routing row for {}", method.name, join(left_out, ", "),
                                  method.inventory->pin(), left_out.size() == 1 ? "it" : "them"));
    if (const std::string note = note_on_categories(method.eval.leave_out, collection, tasks); !note.empty())
      notes.push_back(method.name + ": " + note);
    if (const std::string reason = not_finite_in(method, collection); !reason.empty())
      notes.push_back(fmt::format("{} is not scored: {}", method.name, reason));
  }
  return notes;
}

std::string not_finite_in(const Method& method, const RoutedCollection& collection) {
  if (method.inventory) return method.inventory->not_finite;
  if (method.kind == MethodKind::none || method.kind == MethodKind::oracle || method.kind == MethodKind::target)
    return "";
  for (size_t z = 0; z < collection.not_finite.size(); ++z) {
    const auto expert = static_cast<int>(z);
    const bool used = method.kind == MethodKind::single      ? method.expert == expert
                      : method.kind == MethodKind::phatgoose ? collection.gated(expert)
                                                             : true;
    if (used && !collection.not_finite[z].empty()) return collection.not_finite[z];
  }
  return "";
}

std::string settings_of(const Method& method, const RoutedCollection& collection, const PreparedExperts& prepared,
                        uint64_t seed, const ScoredTask& task) {
  if (method.inventory)
    return fmt::format("{} {}:{}", method.name.substr(0, method.name.find(':')), method.inventory->pin(),
                       method.inventory->digest);
  const EvalConfig& eval = method.eval;
  std::string text;
  switch (method.kind) {
    case MethodKind::random:
      text = fmt::format("random k={} seed={}", eval.top_k, seed);
      break;
    case MethodKind::arrow:
    case MethodKind::arrow_spectr:
      text = fmt::format("{} {} k={}", method.kind == MethodKind::arrow ? "arrow" : "arrow+spectr", eval.arrow,
                         eval.top_k);
      break;
    case MethodKind::best:
      return "best, which is " + prepared.best;
    case MethodKind::target:
      return "target " + method.targets->pins[static_cast<size_t>(method.targets->collection.number_of(task.name))];
    default:
      if (!is_routed(method.kind)) return method.name;
      text = fmt::format("{} k={}", method.name.substr(0, method.name.find(' ')), eval.top_k);
  }
  for (const std::string& setting : settings_of_rule(method, collection, task)) text += " " + setting;
  for (const std::string& name : needed_by(method)) text += fmt::format(" {}:{}", name, prepared.digests.at(name));
  return text;
}

std::unique_ptr<RoutedAdapter> make_adapter(const Method& method, const RoutedCollection& collection,
                                            const PreparedExperts& prepared, uint64_t seed, BaseModel& base,
                                            const ScoredTask& task) {
  if (method.inventory) {
    const Inventory& inventory = *method.inventory;
    const int row = method.kind == MethodKind::poly ? inventory.task_number(task.name) : 0;
    return make_fixed(inventory.spec,
                      method.kind == MethodKind::mu ? averaged_skills(inventory.spec, inventory.values)
                                                    : mixed_adapter(inventory.spec, inventory.values, row),
                      base);
  }
  if (is_routed(method.kind)) return make_routing(method, collection, prepared, base, task);
  switch (method.kind) {
    case MethodKind::none:
      return nullptr;
    case MethodKind::merged:
      return make_merged(collection);
    case MethodKind::random: {
      const std::vector<char> out = left_out(method.eval.leave_out, collection, task);
      return make_random(std::ranges::count(out, 1) > 0 ? without(collection, out) : collection, method.eval.top_k,
                         seed);
    }
    case MethodKind::single:
      return make_single(collection, method.expert);
    case MethodKind::best:
      return make_single(collection, collection.number_of(prepared.best));
    case MethodKind::target:
      return make_single(method.targets->collection, method.targets->collection.number_of(task.name));
    default:
      GAGGLE_CHECK(false, "{} has no adapter of its own", method.name);
      return nullptr;
  }
}

}  // namespace gaggle
