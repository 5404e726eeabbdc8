#include "config/method_text.h"

#include <algorithm>
#include <map>
#include <sstream>

#include "base/error.h"
#include "base/names.h"
#include "config/assign.h"

namespace gaggle {
namespace {

const std::vector<std::string> keys_of_routing = {"top_k",     "temperature", "granularity", "scope",  "leave_out",
                                                  "calibrate", "prior",       "general",     "abstain"};

std::vector<std::string> with(std::vector<std::string> keys, const std::string& more) {
  keys.push_back(more);
  return keys;
}

const std::map<std::string, std::vector<std::string>> keys_by_method = {
    {"phatgoose", keys_of_routing},
    {"average", keys_of_routing},
    {"arrow", with(keys_of_routing, "arrow")},
    {"spectr", keys_of_routing},
    {"arrow+spectr", with(keys_of_routing, "arrow")},
    {"retrieval", {"top_k", "temperature", "leave_out", "general", "abstain"}},
    {"random", {"top_k", "leave_out"}},
};

}  // namespace

const std::vector<std::string>& method_names() {
  static const std::vector<std::string> names = {
      "none",      "merged", "random", "phatgoose", "average", "arrow", "spectr", "arrow+spectr",
      "retrieval", "best",   "oracle", "target",    "experts", "poly",  "mu",     "shared"};
  return names;
}

const std::vector<std::string>& named_method_forms() {
  static const std::vector<std::string> forms = {"expert:NAME", "poly:NAME", "mu:NAME", "shared:NAME", "z:NAME"};
  return forms;
}

std::vector<std::string> keys_of_method(const std::string& name) {
  const auto found = keys_by_method.find(name);
  return found == keys_by_method.end() ? std::vector<std::string>{} : found->second;
}

MethodText read_method_text(const Config& config, const std::string& text) {
  std::istringstream words(text);
  MethodText method;
  words >> method.name;
  method.whole = method.name;
  const size_t colon = method.name.find(':');
  const std::string form = method.name.substr(0, colon) + ":NAME";
  const bool known = colon == std::string::npos ? std::ranges::count(method_names(), method.name) > 0
                                                : std::ranges::count(named_method_forms(), form) > 0;
  if (!known) {
    if (method.name == "uniform") user_error("method \"uniform\" is called merged now");
    std::vector<std::string> all = method_names();
    all.insert(all.end(), named_method_forms().begin(), named_method_forms().end());
    user_error("unknown method \"{}\"{}; known: {}", method.name, did_you_mean(method.name, all), join(all, ", "));
  }
  Config own = config;
  const std::vector<std::string> keys = keys_of_method(method.name);
  for (std::string word; words >> word;) {
    const size_t equals = word.find('=');
    const std::string key = word.substr(0, equals);
    if (equals == std::string::npos) user_error("\"{}\": behind a method stands key=value, not \"{}\"", text, word);
    if (std::ranges::count(keys, key) == 0)
      user_error("\"{}\": {} does not go by {}{}; {}", text, method.name, key, did_you_mean(key, keys),
                 keys.empty() ? "it takes no keys" : "it takes " + join(keys, ", "));
    const std::string complaint = assign_text(*find_key("eval." + key), word.substr(equals + 1), own);
    if (!complaint.empty()) user_error("\"{}\": {}", text, complaint);
    method.whole += " " + word;
  }
  method.eval = own.eval;
  return method;
}

}  // namespace gaggle
