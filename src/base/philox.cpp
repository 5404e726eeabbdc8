#include "base/philox.h"

#include <cmath>
#include <numbers>
#include <numeric>
#include <utility>

namespace gaggle {
namespace {

uint64_t fnv1a(uint64_t hash, uint64_t byte) { return (hash ^ byte) * 0x100000001b3ULL; }

// splitmix64's finaliser: every input bit reaches every output bit.
uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

// (0, 1): never 0, so that its logarithm exists.
double unit(uint64_t bits) { return (static_cast<double>(bits >> 11) + 0.5) * 0x1p-53; }

}  // namespace

uint64_t name_number(std::string_view name) {
  uint64_t hash = 0xcbf29ce484222325ULL;
  for (unsigned char byte : name) hash = fnv1a(hash, byte);
  return mix(hash);
}

uint64_t random_key(std::string_view purpose, std::span<const uint64_t> numbers) {
  uint64_t key = name_number(purpose);
  for (uint64_t number : numbers) key = mix(key + 0x9E3779B97F4A7C15ULL) ^ mix(number + 0xD1B54A32D192ED03ULL);
  return mix(key);
}

double random_unit(uint64_t key, uint64_t index) { return unit(random_bits(key, index)); }

void fill_normal(uint64_t key, double std, std::span<float> values) {
  for (size_t i = 0; i < values.size(); i += 2) {
    const double radius = std::sqrt(-2.0 * std::log(random_unit(key, i)));
    const double angle = 2.0 * std::numbers::pi * random_unit(key, i + 1);
    values[i] = static_cast<float>(std * radius * std::cos(angle));
    if (i + 1 < values.size()) values[i + 1] = static_cast<float>(std * radius * std::sin(angle));
  }
}

void fill_uniform(uint64_t key, double low, double high, std::span<float> values) {
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(low + (high - low) * random_unit(key, i));
}

std::vector<int64_t> random_permutation(uint64_t key, int64_t n) {
  std::vector<int64_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  for (size_t i = order.size(); i-- > 1;) std::swap(order[i], order[random_bits(key, i) % (i + 1)]);
  return order;
}

}  // namespace gaggle
