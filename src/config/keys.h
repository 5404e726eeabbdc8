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

inline Check at_least(double low) {
  return {.low = low, .choices = {}};
}
inline Check above(double low) {
  return {.low = low, .above_low = true, .choices = {}};
}
inline Check from_below(double low, double high) {  // low <= value < high
  return {.low = low, .high = high, .below_high = true, .choices = {}};
}
inline Check between(double low, double high) {
  return {.low = low, .high = high, .choices = {}};
}
inline Check one_of(std::vector<std::string> choices) {
  return {.choices = std::move(choices)};
}

std::vector<Key> training_keys();   // lora, train, gate
std::vector<Key> multitask_keys();  // poly, adapt, alignment

}  // namespace gaggle
