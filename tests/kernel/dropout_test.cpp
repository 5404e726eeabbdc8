// Dropout: what is dropped is what the uniforms under a row's key say, whatever rows and threads there are.
#include "kernel/dropout.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "base/philox.h"
#include "made.h"

namespace gaggle {
namespace {

std::vector<uint64_t> row_keys(size_t rows) {
  std::vector<uint64_t> keys;
  for (size_t t = 0; t < rows; ++t) keys.push_back(random_key("dropout", {3, t}));
  return keys;
}

at::Tensor dropped(at::Tensor x, const std::vector<uint64_t>& keys, double p) {
  dropout_(x, keys, p);
  return x;
}

// Widths: less than the lanes, with a remainder, more than a block.
TEST(Dropout, DropsWhereTheUniformIsBelowP) {
  at::manual_seed(1);
  const std::vector<uint64_t> keys = row_keys(4);
  for (const double p : {0.05, 0.1, 0.5, 0.9})
    for (const int64_t n : {1, 7, 16, 23, 512, 1301}) {
      const at::Tensor x = values({4, n});
      at::Tensor exact = x.clone();
      for (int64_t t = 0; t < 4; ++t) {
        std::vector<float> uniform(static_cast<size_t>(n));
        fill_uniform(keys[static_cast<size_t>(t)], 0, 1, uniform);
        for (int64_t i = 0; i < n; ++i) {
          if (uniform[static_cast<size_t>(i)] < p)
            exact[t][i] = 0;
          else
            exact[t][i] /= 1 - p;
        }
      }
      EXPECT_LT(apart(dropped(x.clone(), keys, p), exact), 1e-15);
      EXPECT_LT(apart(dropped(x.to(at::kFloat), keys, p), exact), 1e-7);
      const at::Tensor bf16 = dropped(x.to(at::kBFloat16), keys, p);
      EXPECT_LT(apart(bf16, exact), 4e-3);
      EXPECT_TRUE(at::equal(bf16.ne(0), exact.ne(0)));
      // The path of other devices: a mask. It rounds as the loop does.
      at::Tensor turned = x.to(at::kBFloat16).t().contiguous().t();
      EXPECT_TRUE(at::equal(dropped(turned, keys, p), bf16));
    }
}

TEST(Dropout, DropsTheAskedShareAndKeepsTheMean) {
  const at::Tensor y = dropped(at::ones({200, 1000}), row_keys(200), 0.1);
  EXPECT_NEAR(y.eq(0).to(at::kDouble).mean().item<double>(), 0.1, 0.003);
  EXPECT_NEAR(y.mean().item<double>(), 1, 0.003);
  EXPECT_FALSE(at::equal(y[0], y[1]));
}

TEST(Dropout, OfARowDependsOnItsKeyAlone) {
  at::manual_seed(2);
  const std::vector<uint64_t> keys = row_keys(150);
  const at::Tensor x = values({150, 700}).to(at::kFloat);
  const at::Tensor y = dropped(x.clone(), keys, 0.2);
  const int threads = at::get_num_threads();
  at::set_num_threads(3);
  EXPECT_TRUE(at::equal(dropped(x.clone(), keys, 0.2), y));
  at::set_num_threads(threads);
  const std::vector<uint64_t> backwards(keys.rbegin(), keys.rend());
  EXPECT_TRUE(at::equal(dropped(x.flip(0), backwards, 0.2), y.flip(0)));
  const std::vector<uint64_t> few(keys.begin() + 31, keys.begin() + 40);
  EXPECT_TRUE(at::equal(dropped(x.slice(0, 31, 40).clone(), few, 0.2), y.slice(0, 31, 40)));
}

// <dropout(x), dy> = <x, dropout(dy)>: it is linear with a diagonal matrix.
TEST(Dropout, IsItsOwnBackward) {
  at::manual_seed(3);
  const std::vector<uint64_t> keys = row_keys(5);
  const at::Tensor x = values({5, 40}), dy = values({5, 40});
  const double forward = (dropped(x.clone(), keys, 0.3) * dy).sum().item<double>();
  const double backward = (x * dropped(dy.clone(), keys, 0.3)).sum().item<double>();
  EXPECT_NEAR(forward, backward, 1e-12 * std::abs(forward));
  EXPECT_GT(std::abs(forward - (x * dy).sum().item<double>()), 1e-3);
}

TEST(Dropout, OfZeroDoesNothingAndOfOneIsRefused) {
  at::Tensor x = values({2, 5});
  EXPECT_TRUE(at::equal(dropped(x.clone(), row_keys(2), 0), x));
  EXPECT_THROW(dropout_(x, row_keys(2), 1), std::logic_error);
  EXPECT_THROW(dropout_(x, row_keys(3), 0.1), std::logic_error);
}

}  // namespace
}  // namespace gaggle
