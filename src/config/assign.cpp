#include "config/assign.h"

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstdlib>
#include <ranges>
#include <sstream>

#include "base/error.h"
#include "base/names.h"
#include "base/terminal.h"

namespace gaggle {
namespace {

namespace fs = std::filesystem;

// Of what is neither text nor a number.
std::string type_name(const toml::node& node) {
  return node.is_boolean() ? "a boolean" : node.is_array() ? "a list" : node.is_table() ? "a table" : "a date or time";
}

std::string range_text(const Check& check) {
  std::string text;
  if (std::isfinite(check.low)) text += fmt::format(" {} {:.10g}", check.above_low ? ">" : ">=", check.low);
  if (std::isfinite(check.high))
    text += fmt::format("{} {} {:.10g}", text.empty() ? "" : " and", check.below_high ? "<" : "<=", check.high);
  return text;
}

bool in_range(double value, const Check& check) {
  return std::isfinite(value) && (check.above_low ? value > check.low : value >= check.low) &&
         (check.below_high ? value < check.high : value <= check.high);
}

std::string expand_home(const std::string& path) {
  const char* home = std::getenv("HOME");
  return path.starts_with("~/") && home ? home + path.substr(1) : path;
}

// Paths inside the working folder are kept relative to it: shorter to read, and the same whatever file named them.
std::string resolve(const std::string& text, const fs::path& folder, PathKind kind) {
  if (kind == PathKind::none || text.empty()) return text;
  const fs::path working = fs::current_path();
  const fs::path whole = (working / folder / expand_home(text)).lexically_normal();
  if (is_hub_name(kind, text, whole)) return text;
  const fs::path relative = whole.lexically_relative(working);
  return (relative.empty() || *relative.begin() == ".." ? whole : relative).string();
}

// Takes the value or returns false for one of another type or out of range.
struct Take {
  const Key& key;
  const toml::node& node;
  const fs::path& folder;

  bool operator()(std::string* field) const {
    if (!node.is_string()) return false;
    const std::string value = *node.value<std::string>();
    const auto& choices = key.check.choices;
    if (!choices.empty() && std::ranges::find(choices, value) == choices.end()) return false;
    *field = resolve(value, folder, key.check.path);
    return true;
  }
  bool operator()(bool* field) const {
    if (!node.is_boolean()) return false;
    *field = *node.value<bool>();
    return true;
  }
  template <std::integral Integer>
  bool operator()(Integer* field) const {
    if (!node.is_integer()) return false;
    const auto value = *node.value<int64_t>();
    if (!in_range(static_cast<double>(value), key.check) || !std::in_range<Integer>(value)) return false;
    *field = static_cast<Integer>(value);
    return true;
  }
  bool operator()(double* field) const {
    if (!node.is_number() || !in_range(*node.value<double>(), key.check)) return false;
    *field = *node.value<double>();
    return true;
  }
  bool operator()(std::optional<double>* field) const {
    double value = 0;
    if (!(*this)(&value)) return false;
    *field = value;
    return true;
  }
  // 100, "100 steps", "10 minutes"
  bool operator()(Interval* field) const {
    if (node.is_integer()) {
      *field = {*node.value<int64_t>(), 0};
      return field->steps >= 0;
    }
    if (!node.is_string()) return false;
    std::istringstream words(*node.value<std::string>());
    double number = 0;
    std::string unit, more;
    if (!(words >> number >> unit) || words >> more || !(number > 0) || !std::isfinite(number)) return false;
    if (unit == "steps" && number == std::floor(number) && number < 1e15)
      *field = {static_cast<int64_t>(number), 0};
    else if (unit == "minutes" || unit == "minute")
      *field = {0, number};
    else
      return false;
    return true;
  }
  // 4, "auto"
  bool operator()(CountOrAuto* field) const {
    if (!node.is_string()) return (*this)(&field->count);
    field->count = 0;
    return *node.value<std::string>() == "auto";
  }
  // One value alone is a list of it.
  template <class Value>
  bool operator()(std::vector<Value>* field) const {
    std::vector<Value> values;
    const auto take = [&](const toml::node& item) {
      const bool is_empty = item.is_string() && item.value<std::string>()->empty();
      return !is_empty && Take{key, item, folder}(&values.emplace_back());
    };
    if (node.is_array()) {
      for (const toml::node& item : *node.as_array())
        if (!take(item)) return false;
    } else if (!take(node)) {
      return false;
    }
    *field = std::move(values);
    return true;
  }
  bool operator()(std::map<std::string, std::string>* field) const {
    if (!node.is_table()) return false;
    for (const auto& [name, item] : *node.as_table()) {
      if (!item.is_string() || item.value<std::string>()->empty()) return false;
      (*field)[std::string(name.str())] = resolve(*item.value<std::string>(), folder, key.check.path);
    }
    return true;
  }
};

// What was given instead; of a list, its first entry that cannot be taken.
std::string got_text(const Key& key, const toml::node& node) {
  Config scratch;
  const Field field = key.field(scratch);
  if (node.is_array() && (std::holds_alternative<std::vector<std::string>*>(field) ||
                          std::holds_alternative<std::vector<int64_t>*>(field)))
    for (const toml::node& item : *node.as_array())
      if (!item.is_array() && !std::visit(Take{key, item, fs::path()}, field)) return got_text(key, item);
  if (node.is_string()) {
    const std::string value = *node.value<std::string>();
    return in_quotes(value) + did_you_mean(value, key.check.choices);
  }
  if (node.is_integer()) return fmt::format("{}", *node.value<int64_t>());
  if (node.is_floating_point()) return fmt::format("{:#}", *node.value<double>());  // 1e3: "1000.0", no integer
  return type_name(node);
}

struct Expected {
  std::string range, choices;
  std::string operator()(std::string*) const { return choices.empty() ? "text" : "one of " + choices; }
  std::string operator()(bool*) const { return "true or false"; }
  template <std::integral Integer>
  std::string operator()(Integer*) const {
    return "an integer" + range;
  }
  std::string operator()(double*) const { return "a number" + range; }
  std::string operator()(std::optional<double>*) const { return "a number" + range; }
  std::string operator()(Interval*) const { return "a number of steps >= 0, or \"10 minutes\""; }
  std::string operator()(CountOrAuto*) const { return "an integer" + range + ", or \"auto\""; }
  std::string operator()(std::vector<std::string>*) const {
    return "a list of " + (choices.empty() ? "texts, [\"…\", …]" : choices);
  }
  std::string operator()(std::vector<int64_t>*) const { return "a list of integers" + range; }
  std::string operator()(std::map<std::string, std::string>*) const { return "a table of NAME = \"file\""; }
};

toml::table parsed_or_empty(const std::string& text) {
  try {
    return toml::parse(text);
  } catch (const toml::parse_error&) {
    return {};
  }
}

// As a TOML node under the name "value".
toml::table override_value(const Key& key, const std::string& text) {
  Config scratch;
  const Field field = key.field(scratch);
  const bool is_list = std::holds_alternative<std::vector<std::string>*>(field);
  const bool is_text = std::holds_alternative<std::string*>(field);
  const bool is_bare_numbers = std::holds_alternative<std::vector<int64_t>*>(field) && !text.starts_with('[');
  const toml::table table = parsed_or_empty("value = " + (is_bare_numbers ? "[" + text + "]" : text));
  const toml::node* node = table.size() == 1 ? table.get("value") : nullptr;
  if (node && (!is_text || node->is_string()) && (!is_list || node->is_array())) return table;
  const bool is_quoted = node && node->is_string();
  const std::string bare = is_quoted ? *node->value<std::string>() : text;
  if (!is_list) return toml::table{{"value", bare}};
  if (is_quoted) return toml::table{{"value", toml::array{bare}}};
  toml::array list;
  for (const auto part : std::views::split(text, ',')) list.push_back(std::string(part.begin(), part.end()));
  return toml::table{{"value", list}};
}

}  // namespace

bool is_hub_name(PathKind kind, const std::string& text, const fs::path& path) {
  return kind == PathKind::path_or_hub && std::ranges::count(text, '/') == 1 && text[0] != '/' && text[0] != '.' &&
         text.back() != '/' && !text.ends_with(".gguf") && !fs::exists(path);
}

std::string expected_text(const Key& key) {
  Config scratch;
  return std::visit(Expected{range_text(key.check), join(key.check.choices, ", ")}, key.field(scratch));
}

std::string assign_value(const Key& key, const toml::node& node, const fs::path& folder, Config& config) {
  if (std::visit(Take{key, node, folder}, key.field(config))) return "";
  return fmt::format("{}: expected {}, got {}", key.full(), expected_text(key), got_text(key, node));
}

std::string assign_text(const Key& key, const std::string& text, Config& config) {
  return assign_value(key, *override_value(key, text).get("value"), "", config);
}

void resolve_defaults(Config& config) {
  if (config.poly.method != "mhr" && !config.origin.contains("poly.heads")) config.poly.heads = 1;
  for (const Key& key : config_keys())
    if (key.check.path == PathKind::path && !config.origin.contains(key.full())) {
      const Field field = key.field(config);
      if (auto* path = std::get_if<std::string*>(&field)) **path = expand_home(**path);
    }
}

}  // namespace gaggle
