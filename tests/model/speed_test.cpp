// FLOP of attention against the keys counted one by one.
#include "model/speed.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace gaggle {
namespace {

TEST(Speed, AttentionCountsTheKeysThatEachTokenSees) {
  ModelSpec spec;
  spec.heads = 3, spec.head_dim = 5, spec.layers = 4, spec.encoder_layers = 2;
  const double each = 12 * 3 * 5;
  for (const int64_t window : {0, 1, 7, 100}) {
    spec.sliding_window = window;
    for (const std::vector<bool>& slides : {std::vector<bool>(), {true, false, false, true}}) {
      spec.slides.assign(slides.begin(), slides.end());
      double seen = 0;  // over tokens and layers
      for (int64_t layer = 0; layer < 4; ++layer)
        for (int64_t n = 1; n <= 20; ++n) {
          const bool slid = slides.empty() || slides[static_cast<size_t>(layer)];
          seen += static_cast<double>(slid && window > 0 ? std::min(n, window) : n) + 6;
        }
      EXPECT_DOUBLE_EQ(decoder_attention_flops(spec, 20, 6), each * seen);
    }
  }
  EXPECT_DOUBLE_EQ(encoder_attention_flops(spec, 20), each * 2 * 20 * 20);
}

}  // namespace
}  // namespace gaggle
