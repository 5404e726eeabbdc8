// The one list of configuration keys: name, type, unit, help, check. Reading, overrides, --print-config, gaggle help
// config, completion and the man page all walk over it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "config/config.h"

namespace gaggle {

// Where a key's value lies in a Config; the pointer's type is the key's type.
using Field =
    std::variant<std::string*, bool*, int*, int64_t*, uint64_t*, double*, std::optional<double>*, Interval*,
                 CountOrAuto*, std::vector<std::string>*, std::vector<int64_t>*, std::map<std::string, std::string>*>;

// How relative paths are read: not a path; a path; a path, or a hub name where no such file exists.
enum class PathKind { none, path, path_or_hub };

// Of a list, every entry is checked.
struct Check {
  double low = -std::numeric_limits<double>::infinity();  // numbers: low <= value <= high
  double high = std::numeric_limits<double>::infinity();
  bool above_low = false;                 // low < value instead
  bool below_high = false;                // value < high instead
  std::vector<std::string> choices = {};  // text: one of these, if any are named
  PathKind path = PathKind::none;
  std::string_view names = "";  // text: of what in a registry, by its folder there ("collections"); for completion
};

struct Key {
  std::string section, name;
  Field (*field)(Config&);
  std::string unit;  // "examples", "seconds", …; "": none
  std::string help;
  Check check = {};

  std::string full() const { return section + "." + name; }
};

struct Section {
  std::string name, help;
};

const std::vector<Section>& config_sections();  // in the order people read them
const std::vector<Key>& config_keys();          // section by section
const Key* find_key(const std::string& full);   // null: no such key

struct RenamedKey {
  std::string_view before, now;
};
// For whoever still writes the old name.
inline constexpr RenamedKey renamed_keys[] = {{"data.limit_rows", "data.limit_examples"},
                                              {"eval.limit_rows", "eval.limit_examples"},
                                              {"alignment.rows", "alignment.examples"},
                                              {"plan.rows", "plan.examples"},
                                              {"eval.routed", "eval.inventory"}};

// What a key is for, with its unit and choices.
std::string described(const Key& key);
// What a field may hold, for people: "an integer >= 1", "one of constant, linear".
std::string expected_text(const Key& key);
// The field as a TOML value; "" where an optional number is not set.
std::string toml_text(const Field& field);
// "org/name", what a hub calls a model, where the key may hold one and there is no such file at `path`.
bool is_hub_name(PathKind kind, const std::string& text, const std::filesystem::path& path);
// A TOML basic string with its quotes.
std::string toml_quoted(const std::string& text);
// As comment lines of readable width, each with its end.
std::string toml_comment(const std::string& text);

// Rules between keys and inside lists (learning rate of another scale, eval.methods, names): complaints as
// "section.key" → text.
std::vector<std::pair<std::string, std::string>> cross_check(const Config& config);

}  // namespace gaggle
