// What the methods of eval.methods take from the registry.
#pragma once

#include <string>

#include "eval/items.h"
#include "job/job.h"
#include "job/plan.h"
#include "library/collection.h"
#include "library/prepared.h"

namespace gaggle {

struct EvalSources {
  std::string collection_pin;   // "all@v0001", or a list (registry/pins.h: members_of); "": no method needs one
  std::string collection_name;  // as it is printed and stored: "all@v0001", "all-experts@1a2b3c4d"
  RoutedCollection collection;  // of that name, else of no expert
  std::string pins;             // of its experts, a line each
  PreparedExperts prepared;     // what the methods need of `gaggle prepare`
  Inventories inventories;
  std::vector<Method> methods;
};

// Reads only what the methods need. Throws UserError as read_methods, load_inventories and read_prepared do, and where a
// collection is needed and none is named. `tasks`: what is scored. `keep`: what it computes of the collection may be kept
// in the registry. `all`: every expert is read at once, whether a method needs that or not.
EvalSources load_sources(const Config& config, const BaseModel& base, const std::vector<TokenTask>& tasks, bool keep,
                         bool all = false);

// Part of it: of prepared_sources.cpp.
PreparedExperts prepared_for(const Config& config, const Registry& registry, const BaseModel& base,
                             const EvalSources& sources, const std::vector<TokenTask>& tasks);

// The pin of eval.collection, else of registry.collection; where neither is named, all experts that are in use
// (registry/pins.h: all_in_use). Which they are is asked once: others may be in use a moment later.
std::string needed_collection(const Config& config, const Registry& registry);

// Bytes of adapters that a rank keeps from item to item: an eighth of what was free.
uint64_t room_for_adapters(const JobContext& context);
// The same with the collection, for the plan: what scoring by these methods holds besides the base.
uint64_t bytes_of_experts(const JobContext& context, const EvalContext& scoring, const std::vector<Method>& methods);

void check_examples(const EvalContext& context);  // throws UserError: a task has none in the split

// For the plan: collection, inventories and routing rows.
std::vector<PlanLine> source_lines(const EvalSources& sources, const Config& config);

}  // namespace gaggle
