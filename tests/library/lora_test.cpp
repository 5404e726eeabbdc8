// An expert from and to PEFT's form and a registry: values, gates, hard links; what does not fit the base is named.
#include "library/lora.h"

#include <gtest/gtest.h>

#include "../model/sites_only.h"
#include "../registry/made.h"
#include "base/error.h"
#include "library/collection.h"
#include "registry/sums.h"

namespace gaggle {
namespace {

const std::vector<Site> sites = {{0, "layers.0.q_proj", "q_proj", 0, 6, 4}, {1, "layers.1.up", "up", 1, 4, 6}};

Lora random_lora() {
  Lora lora;
  lora.name = "tomi";
  lora.sites = lora_sites(sites, {}, 3, 1.5);
  lora.values = at::arange(lora_layout(lora.sites).size(), at::kFloat).sin();
  return lora;
}

TEST(LoraFromPeft, GivesBackWhatWasWritten) {
  Lora lora = random_lora();
  lora.gates = {at::Tensor(), at::ones({4})};
  const Lora back = lora_from_peft(lora_to_peft(lora, {"base"}), sites, "here");
  EXPECT_TRUE(at::equal(back.values, lora.values));
  ASSERT_EQ(back.sites.size(), 2u);
  EXPECT_EQ(back.sites[1].scale, 0.5);
  EXPECT_FALSE(back.gates[0].defined());
  EXPECT_TRUE(at::equal(back.gates[1], lora.gates[1]));
}

TEST(LoraFromPeft, NamesWhatDoesNotFit) {
  const auto message = [](const PeftAdapter& peft) -> std::string {
    try {
      lora_from_peft(peft, sites, "folder/x");
    } catch (const UserError& error) {
      return error.what();
    }
    return "";
  };
  PeftAdapter other = lora_to_peft(random_lora(), {"base"});
  other.sites[1].site = "layers.9.up";
  EXPECT_NE(message(other).find("layers.9.up"), std::string::npos);
  EXPECT_NE(message(other).find("folder/x"), std::string::npos);
  other = lora_to_peft(random_lora(), {"base"});
  other.sites[0].tensors[0] = {{3, 5}, std::vector<float>(15)};
  EXPECT_NE(message(other).find("lora_A of layers.0.q_proj is [3, 5] there, here it would be [3, 6]"),
            std::string::npos)
      << message(other);
}

TEST(Lora, GatesForOneThatIsThereShareItsFile) {
  const made::Folder folder;
  const test::SitesOnly base(sites);
  Registry registry = Registry::open(folder.path / "r", made::base, true);
  Lora lora = random_lora();
  EXPECT_EQ(store_lora(registry, lora, {base, DType::bf16, "k1", {{"task", "t"}}}), "v0001");
  lora.gates = {at::full({6}, 2.f), at::full({4}, 3.f)};
  EXPECT_EQ(store_gates(registry, "tomi@v0001", lora, {base, DType::bf16, "k2", {{"task", "t"}}}), "v0002");
  const Lora back = load_lora(registry, "tomi", sites);
  EXPECT_EQ(back.pin(), "tomi@v0002");
  EXPECT_TRUE(at::equal(back.values, lora.values.to(at::kBFloat16).to(at::kFloat)));
  EXPECT_TRUE(at::equal(back.gates[1], lora.gates[1]));
  const fs::path file = registry.load(Kind::expert, "tomi").folder / adapter_file;
  EXPECT_EQ(fs::hard_link_count(file), 2u);
  EXPECT_TRUE(registry.verify().empty());

  registry.collect("demo", {"tomi@v0001"});
  const RoutedCollection collection = routed_collection(load_collection(registry, "demo", sites), base);
  EXPECT_EQ(collection.names, std::vector<std::string>{"tomi"});
  EXPECT_FALSE(collection.gated(0));
  EXPECT_TRUE(
      at::equal(collection.sites[1].experts[0].a, lora_layout(back.sites).view(back.values, "layers.1.up.lora_A")));
  EXPECT_EQ(collection.not_finite, std::vector<std::string>{""});
}

TEST(Lora, TheBiasOfItsGatesIsStoredWithThem) {
  const made::Folder folder;
  const test::SitesOnly base(sites);
  Registry registry = Registry::open(folder.path / "r", made::base, true);
  Lora lora = random_lora();
  store_lora(registry, lora, {base, DType::f32, "k1", {{"task", "t"}}});
  lora.gates = {at::ones({6}), at::ones({4})};
  store_gates(registry, "tomi@v0001", lora, {base, DType::f32, "k2", {{"task", "t"}}});
  lora.gate_bias = -2.5;
  store_gates(registry, "tomi@v0001", lora, {base, DType::f32, "k3", {{"task", "t"}}});
  EXPECT_EQ(load_lora(registry, "tomi@v0001", sites).gate_bias, 0);
  EXPECT_EQ(load_lora(registry, "tomi@v0002", sites).gate_bias, 0);
  EXPECT_FALSE(read_sidecar(registry.load(Kind::expert, "tomi@v0002")).contains("gate_bias"));
  EXPECT_EQ(load_lora(registry, "tomi", sites).gate_bias, -2.5);
  registry.collect("demo", {"tomi"});
  const std::vector<Lora> experts = load_collection(registry, "demo", sites);
  EXPECT_EQ(experts[0].gate_bias, -2.5);
  EXPECT_EQ(routed_collection(experts, base).gate_bias, std::vector<double>{-2.5});
  EXPECT_TRUE(registry.verify().empty());
}

TEST(Lora, WhatTheStoredTypeCannotHoldIsNotCommitted) {
  const made::Folder folder;
  const test::SitesOnly base(sites);
  Registry registry = Registry::open(folder.path / "r", made::base, true);
  Lora lora = random_lora();
  lora.values[3] = 1e6f;
  EXPECT_THROW(store_lora(registry, lora, {base, DType::f16, "k1", {{"task", "t"}}}), NotFinite);
  EXPECT_FALSE(registry.find(Kind::expert, "tomi"));
  EXPECT_EQ(store_lora(registry, lora, {base, DType::bf16, "k1", {{"task", "t"}}}), "v0001");
}

// Registries from before hold such experts: a collection is read as it is, and says so; all else refuses it.
TEST(Lora, OneThatIsNotFiniteIsNotedInACollection) {
  const made::Folder folder;
  const test::SitesOnly base(sites);
  Registry registry = Registry::open(folder.path / "r", made::base, true);
  Lora lora = random_lora();
  store_lora(registry, lora, {base, DType::f32, "k1", {{"task", "t"}}});
  lora.values[0] = NAN;
  const fs::path version = registry.load(Kind::expert, "tomi").folder;
  write_file_durable(version / adapter_file, tensor_file_bytes(peft_tensors(lora_to_peft(lora, {"base"}), DType::f32)));
  write_file_durable(version / sums_file, sums_text(version));
  registry.collect("demo", {"tomi"});
  EXPECT_THROW(load_lora(registry, "tomi", sites), NotFinite);
  const RoutedCollection collection = routed_collection(load_collection(registry, "demo", sites), base);
  ASSERT_EQ(collection.not_finite.size(), 1u);
  EXPECT_NE(collection.not_finite[0].find("is NaN at [0, 0]"), std::string::npos) << collection.not_finite[0];
}

}  // namespace
}  // namespace gaggle
