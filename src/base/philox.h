// Random numbers keyed by what they are for, never by rank or order of execution.
// Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace gaggle {

// Four 32-bit words for a 128-bit counter under a 64-bit key. Always inlined, like random_bits, so that a loop
// over counters is vectorised for the processor that its caller is compiled for; constexpr, so that kernels of GPUs call it.
[[gnu::always_inline]] constexpr std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> c,
                                                                    std::array<uint32_t, 2> k) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{0xD2511F53} * c[0];
    const uint64_t product1 = uint64_t{0xCD9E8D57} * c[2];
    c = {static_cast<uint32_t>(product1 >> 32) ^ c[1] ^ k[0], static_cast<uint32_t>(product1),
         static_cast<uint32_t>(product0 >> 32) ^ c[3] ^ k[1], static_cast<uint32_t>(product0)};
    k[0] += 0x9E3779B9;
    k[1] += 0xBB67AE85;
  }
  return c;
}

// A 64-bit key from a purpose ("lora_A", "order", …) and the numbers that name the draw (FNV-1a, then mixed).
uint64_t random_key(std::string_view purpose, std::span<const uint64_t> numbers);
inline uint64_t random_key(std::string_view purpose, std::initializer_list<uint64_t> numbers) {
  return random_key(purpose, std::span(numbers.begin(), numbers.size()));
}
// The number that stands for a name inside random_key.
uint64_t name_number(std::string_view name);

// The i-th 64 random bits under a key.
[[gnu::always_inline]] constexpr uint64_t random_bits(uint64_t key, uint64_t index) {
  const auto words = philox4x32({static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32), 0, 0},
                                {static_cast<uint32_t>(key), static_cast<uint32_t>(key >> 32)});
  return (uint64_t{words[0]} << 32) | words[1];
}
// The i-th of uniform numbers in (0, 1) under a key.
double random_unit(uint64_t key, uint64_t index);
// values[i] ~ N(0, std²), a function of (key, i) only (Box-Muller in double).
void fill_normal(uint64_t key, double std, std::span<float> values);
// values[i] ~ U(low, high), a function of (key, i) only.
void fill_uniform(uint64_t key, double low, double high, std::span<float> values);
// A permutation of 0 … n-1 (Fisher-Yates on random_bits).
std::vector<int64_t> random_permutation(uint64_t key, int64_t n);

}  // namespace gaggle
