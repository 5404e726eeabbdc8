// An entry of eval.methods: a name, behind a colon whose (expert:NAME, mu:NAME), then keys of [eval] for it alone:
// "phatgoose top_k=1 scope=layer".
#pragma once

#include <string>
#include <vector>

#include "config/config.h"

namespace gaggle {

struct MethodText {
  std::string name;   // "phatgoose", "expert:tomi"
  std::string whole;  // as it is printed: one space between its words
  EvalConfig eval;    // with its own keys
};

// Throws UserError: an unknown method, a key that it does not go by, a value that cannot be.
MethodText read_method_text(const Config& config, const std::string& text);

const std::vector<std::string>& method_names();        // those that need no name of something else
const std::vector<std::string>& named_method_forms();  // "expert:NAME", …
// The keys of [eval] that a method goes by beside what all do: "top_k", …; empty: none.
std::vector<std::string> keys_of_method(const std::string& name);

}  // namespace gaggle
