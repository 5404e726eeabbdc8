// The methods of eval.methods: which there are, what each needs of the collection or of an inventory, what
// sits on the sites for it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "adapter/routed.h"
#include "config/config.h"
#include "data/tokens.h"
#include "eval/inventories.h"

namespace gaggle {

enum class MethodKind {
  none,
  merged,
  random,
  phatgoose,
  average,
  arrow,
  spectr,
  arrow_spectr,
  retrieval,
  single,
  best,
  oracle,
  target,
  poly,
  mu,
  shared,
  routing_row
};

// Experts of the registry that were trained on the very tasks that are scored, whether the collection has them or not.
struct TargetExperts {
  RoutedCollection collection;    // by the tasks' names
  std::vector<std::string> pins;  // pinned() of each
};

struct Method {
  MethodKind kind = MethodKind::none;
  std::string name;                                        // as printed: "phatgoose top_k=1", "expert:tomi"
  int expert = -1;                                         // of single
  std::shared_ptr<const Inventory> inventory = nullptr;    // of poly, mu, shared and routing_row
  EvalConfig eval = {};                                    // with its own keys (config/method_text.h)
  std::shared_ptr<const TargetExperts> targets = nullptr;  // of target
};

struct PreparedExperts;  // library/prepared.h

// What a method may be told of the task that is scored; a prompt is of none.
struct ScoredTask {
  std::string name = {}, category = {};
};
ScoredTask scored_task(const TokenTask& task);
std::vector<ScoredTask> scored_tasks(const std::vector<TokenTask>& tasks);

MethodKind kind_of_method(const std::string& text);  // an entry of eval.methods
// Throws UserError, with the nearest name: it is none of the collection.
int expert_number(const std::string& expert, const RoutedCollection& collection);

// Whether experts are chosen by scores, for tokens or sequences (eval/routing_of.h).
bool is_routed(MethodKind kind);

// eval.methods with "experts" written out as expert:NAME, each once ("mu" and "mu:NAME" of one inventory are
// one). Throws UserError for a name that is no method or no expert of the collection, and for a method that
// none of the experts can serve.
std::vector<Method> read_methods(const Config& config, const RoutedCollection& collection,
                                 const Inventories& inventories = {});

// Whether any method of eval.methods needs a collection at all.
bool needs_collection(const EvalConfig& eval);

// The method that `gaggle generate` answers by: the first of eval.methods that needs no task's name and is no baseline
// (merged, random, best, expert:NAME); else the first of these; none where it stands alone; "": all need a task's name.
std::string prompt_method(const EvalConfig& eval);

// poly has a routing row of its own for the tasks it was trained on, and none for others; target has experts of some tasks.
bool serves(const Method& method, const std::string& task);

// A sentence for each method that some experts cannot serve, that cannot serve some of the tasks, or that cannot be
// computed, by name.
std::vector<std::string> notes_on(const std::vector<Method>& methods, const RoutedCollection& collection,
                                  const std::vector<ScoredTask>& tasks);

// Why a method cannot be computed: an expert that it uses, or its skills, are not finite; "": they are.
std::string not_finite_in(const Method& method, const RoutedCollection& collection);

// What changes the method's results beside the collection (and, of poly, the task's name), for the item's key.
std::string settings_of(const Method& method, const RoutedCollection& collection, const PreparedExperts& prepared,
                        uint64_t seed, const ScoredTask& task);

// Whether another task has another adapter.
bool depends_on_task(const Method& method);

// Null for none; oracle has no adapter of its own (it stands for a single expert per task). `seed` (run.seed)
// matters to random alone, `task` where depends_on_task says so.
std::unique_ptr<RoutedAdapter> make_adapter(const Method& method, const RoutedCollection& collection,
                                            const PreparedExperts& prepared, uint64_t seed, BaseModel& base,
                                            const ScoredTask& task);

}  // namespace gaggle
