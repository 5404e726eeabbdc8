// What every test of the GPU starts with.
#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>

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

// |ours - exact| / |exact|, in fp64 on the CPU.
inline double apart(const at::Tensor& ours, const at::Tensor& exact) {
  const at::Tensor e = exact.to(at::kCPU, at::kDouble);
  return ((ours.to(at::kCPU, at::kDouble) - e).norm() / (e.norm() + 1e-30)).item<double>();
}

// Random values that bf16 holds exactly, so that types differ in arithmetic only.
inline at::Tensor values(at::IntArrayRef shape) {
  return at::randn(shape).to(at::kBFloat16).to(at::kDouble);
}

}  // namespace gaggle
