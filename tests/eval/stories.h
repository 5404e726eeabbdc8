// The base ../shared/models/stories260K, and experts to route on it.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>

#include "adapter/routed.h"
#include "base/philox.h"

namespace gaggle {

using Ids = std::vector<int32_t>;

class Stories : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    const auto path = std::filesystem::path(GAGGLE_SOURCE_DIR) / "../shared/models/stories260K";
    if (std::filesystem::exists(path))
      base_ = load_base_model(*open_model(path.string(), ""), at::kFloat, at::kCPU, BaseUse::inference);
  }
  static void TearDownTestSuite() { base_.reset(); }
  void SetUp() override {
    if (!base_) GTEST_SKIP() << "../shared/models/stories260K is not there";
  }

  Ids ids(size_t n, uint64_t seed) const {
    Ids out;
    for (size_t i = 0; i < n; ++i)
      out.push_back(static_cast<int32_t>(random_bits(random_key("ids", {seed}), i) % uint64_t(base_->spec().vocab)));
    return out;
  }
  // Three random experts with random gates on every site, strong enough to change what is written.
  RoutedCollection three_experts() const {
    RoutedCollection collection;
    collection.names = {"a", "b", "c"};
    const auto normal = [](std::vector<int64_t> shape, uint64_t seed, double std) {
      auto values = at::empty(shape, at::kFloat);
      fill_normal(random_key("test", {seed}), std, {values.data_ptr<float>(), static_cast<size_t>(values.numel())});
      return values;
    };
    for (const Site& site : base_->sites()) {
      std::vector<LowRank> pairs;
      std::vector<at::Tensor> gates;
      for (uint64_t z = 0; z < 3; ++z) {
        const uint64_t seed = 10 * static_cast<uint64_t>(site.index) + z;
        pairs.push_back({normal({4, site.d_in}, seed, 0.1), normal({site.d_out, 4}, seed + 5, 0.3), 1, {}});
        gates.push_back(normal({site.d_in}, seed + 7000, 1));
      }
      collection.sites.push_back(stack_experts(std::move(pairs)));
      collection.gates.push_back(std::move(gates));
    }
    return collection;
  }
  std::unique_ptr<RoutedAdapter> router() const { return make_phatgoose(three_experts(), 2); }

  static inline std::unique_ptr<BaseModel> base_;
};

}  // namespace gaggle
