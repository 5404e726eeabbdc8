// What every test of the GPU starts with.
#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "../kernel/made.h"
#include "kernel/dispatch.h"

namespace gaggle {

#ifdef GAGGLE_FAKE_GPU
inline const at::Device gpu(at::kPrivateUse1, 0);
#else
inline const at::Device gpu(at::kCUDA, 0);
#endif

// cuBLAS reads its workspace setting once, with the first product of the process, whichever test that is in.
inline const bool deterministic_cublas = ::setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", 1) == 0;

// Skips its tests where no GPU is, and says so.
class Gpu : public testing::Test {
 protected:
  void SetUp() override {
    if (gpu_count() == 0) GTEST_SKIP() << "no GPU on this machine";
    at::manual_seed(5);
  }
};

}  // namespace gaggle
