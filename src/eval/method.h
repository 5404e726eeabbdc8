// The methods of eval.methods: which there are, what each needs of the collection, what sits on the sites for
// it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "adapter/routed.h"
#include "config/config.h"

namespace gaggle {

enum class MethodKind { none, uniform, phatgoose, arrow, single, oracle };

struct Method {
  MethodKind kind = MethodKind::none;
  std::string name;  // as printed: "phatgoose", "expert:tomi"
  int expert = -1;   // of single
};

// eval.methods with "experts" written out as expert:NAME. Throws UserError for a name that is no method or no
// expert of the collection, and for a method that none of the experts can serve.
std::vector<Method> read_methods(const Config& config, const RoutedCollection& collection);

// Whether any method of eval.methods needs a collection at all.
bool needs_collection(const EvalConfig& eval);

// A sentence for each method that some experts cannot serve, naming them.
std::vector<std::string> notes_on(const std::vector<Method>& methods, const RoutedCollection& collection);

// What changes the method's results beside the collection, for the item's key.
std::string settings_of(const Method& method, const EvalConfig& eval);

// Null for none; oracle has no adapter of its own (it stands for a single expert per task).
std::unique_ptr<RoutedAdapter> make_adapter(const Method& method, const RoutedCollection& collection,
                                            const EvalConfig& eval);

}  // namespace gaggle
