// Which settings make another base of the same tensors.
#include "model/digested_settings.h"

#include <gtest/gtest.h>

namespace gaggle {
namespace {

ModelSpec spec_of(const std::string& type, double theta = 10000, RopeScaling scaling = {}) {
  ModelSpec spec;
  spec.model_type = type;
  spec.rope_theta = theta;
  spec.rope_scaling = std::move(scaling);
  return spec;
}

TEST(DigestedSettings, NoneOfDefaults) {
  EXPECT_EQ(digested_settings(spec_of("llama")), "");
  EXPECT_EQ(digested_settings(spec_of("t5")), "");
}

TEST(DigestedSettings, WhatAConfigChanges) {
  EXPECT_EQ(digested_settings(spec_of("llama", 20000)), " theta 20000");
  EXPECT_EQ(digested_settings(spec_of("llama", 500000)), " theta 500000");
  EXPECT_EQ(digested_settings(spec_of("llama", 10000, {"linear", 4})), " linear 4");
  EXPECT_EQ(digested_settings(spec_of("llama", 10000, {"llama3", 8, 1, 4, 256})), " llama3 8 256 64");
  EXPECT_EQ(digested_settings(spec_of("llama", 500000, {"linear", 8})), " theta 500000 linear 8");
  ModelSpec windowed = spec_of("mistral");
  windowed.sliding_window = 8;
  EXPECT_EQ(digested_settings(windowed), " window 8");
}

TEST(DigestedSettings, YarnAndWindowsOfSomeLayers) {
  RopeScaling yarn{.type = "yarn", .factor = 4, .original_max_position = 32};
  EXPECT_EQ(digested_settings(spec_of("qwen3", 1e6, yarn)), " yarn 4 32 32 1 true 1 theta 1e+06");
  ModelSpec sliding = spec_of("qwen2");
  sliding.sliding_window = 9;
  sliding.slides = {true, false};
  EXPECT_EQ(digested_settings(sliding), " window 9 sliding full");
}

TEST(DigestedSettings, TheSameFromAGgufFile) {
  const RopeScaling config{"llama3", 8, 2, 8, 16384}, fitted{"llama3", 8, 1, 4.00001, 8192};
  EXPECT_EQ(digested_settings(spec_of("llama", 10000, config)), digested_settings(spec_of("llama", 10000, fitted)));
  EXPECT_EQ(digested_settings(spec_of("llama", 1234567.8)), digested_settings(spec_of("llama", 1234567.8f)));
}

}  // namespace
}  // namespace gaggle
