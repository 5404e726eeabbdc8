// What every test of the GPU starts with.
#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "../kernel/made.h"

namespace gaggle {

inline const at::Device gpu(at::kCUDA, 0);

// Skips its tests where no GPU is, and says so.
class Gpu : public testing::Test {
 protected:
  void SetUp() override {
    if (!at::hasCUDA()) GTEST_SKIP() << "no GPU on this machine";
    at::manual_seed(5);
  }
};

}  // namespace gaggle
