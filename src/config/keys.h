// How a key is written down in the schema's files: accessor, checks, and the parts of the list.
#pragma once

#include "config/schema.h"

namespace gaggle {

template <auto Group, auto Member>
Field field_of(Config& config) {
  return &(config.*Group.*Member);
}

// section, key and accessor from one spelling.
#define KEY(group, key) #group, #key, &field_of < &Config::group, &decltype(Config::group)::key>

inline Check at_least(double low) { return {.low = low}; }
inline Check above(double low, double high = std::numeric_limits<double>::infinity()) {
  return {.low = low, .high = high, .above_low = true};
}
inline Check from_below(double low, double high) {  // low <= value < high
  return {.low = low, .high = high, .below_high = true};
}
inline Check between(double low, double high) { return {.low = low, .high = high}; }
inline Check one_of(std::vector<std::string> choices) { return {.choices = std::move(choices)}; }
inline Check a_path(PathKind kind = PathKind::path) { return {.path = kind}; }
inline Check a_name_in(std::string_view folder) { return {.names = folder}; }

// What nobody means to ask for, and what loops or memory would grow with for ever: far above what makes sense.
inline constexpr double most_lanes = 65536;     // also of ranks that train together
inline constexpr double most_steps = 1e9;       // of one phase
inline constexpr double most_batch = 1e6;       // examples of a step, whose tokens lie in memory together
inline constexpr double most_tokens = 1 << 20;  // of an example
inline constexpr double most_microbatch = 1e8;  // tokens

// The parts of config_keys(): tables of other files, to be read when main has begun.
extern const std::vector<Key> expert_keys;     // lora, train, gate
extern const std::vector<Key> multitask_keys;  // poly, adapt, alignment

}  // namespace gaggle
