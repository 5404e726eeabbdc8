// Likeness of gates: sites that some do not have, gates without a direction, other widths.
#include "library/gate_cosines.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"

namespace gaggle {
namespace {

PeftAdapter gated(const std::vector<std::pair<std::string, std::vector<float>>>& gates) {
  PeftAdapter lora;
  for (const auto& [site, gate] : gates) lora.sites.emplace_back().site = site, lora.sites.back().gate = gate;
  return lora;
}

TEST(GateCosines, AreMeansOverTheSitesThatBothHave) {
  const std::vector<PeftAdapter> loras = {
      gated({{"q", {1, 2, 3}}, {"up", {0, 1}}}),
      gated({{"q", {30, 20, 10}}, {"up", {5, 9}}}),  // opposite at q, alike at up: whatever its mean and its length
      gated({{"up", {3, 1}}, {"q", {0.1f, 0.1f, 0.1f}}}),
      gated({{"q", {}}}),
  };
  const std::vector<std::string> names = {"a", "b", "c", "d"};
  const at::Tensor cosine = gate_cosines(loras, names);
  const auto at = [&](int i, int j) { return cosine[i][j].item<double>(); };
  EXPECT_NEAR(at(0, 0), 1, 1e-12);
  EXPECT_NEAR(at(0, 1), 0, 1e-12);
  EXPECT_NEAR(at(1, 0), 0, 1e-12);
  EXPECT_NEAR(at(0, 2), -1, 1e-12);
  EXPECT_NEAR(at(2, 2), 1, 1e-12);
  for (int z = 0; z < 4; ++z) EXPECT_TRUE(std::isnan(at(3, z)) && std::isnan(at(z, 3))) << z;
}

TEST(GateCosines, OtherWidthsAreNamed) {
  const std::vector<PeftAdapter> loras = {gated({{"q", {1, 2, 3}}}), gated({{"q", {1, 2}}})};
  const std::vector<std::string> names = {"tomi", "sarcasm"};
  try {
    gate_cosines(loras, names);
    FAIL();
  } catch (const UserError& error) {
    for (const char* word : {"tomi", "sarcasm", "q", "3", "2"})
      EXPECT_NE(std::string(error.what()).find(word), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace gaggle
