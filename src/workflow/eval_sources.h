// What the methods of eval.methods take from the registry.
#pragma once

#include <string>

#include "eval/method.h"
#include "job/plan.h"
#include "library/collection.h"

namespace gaggle {

struct EvalSources {
  std::string collection_pin;   // "all@v0001"; "": no method needs one
  RoutedCollection collection;  // of that name, else of no expert
  std::string pins;             // of its experts, a line each
  Inventories inventories;
  std::vector<Method> methods;
};

// Reads only what the methods need. Throws UserError as read_methods and load_inventories do, and where a
// collection is needed and none is named. `keep`: what it computes of the collection may be kept in the registry.
EvalSources load_sources(const Config& config, const BaseModel& base, bool keep);

// For the plan: collection, inventories and routing rows.
std::vector<PlanLine> source_lines(const EvalSources& sources, const Config& config);

}  // namespace gaggle
