// Inventories and routing rows into PEFT's form and a registry, and back; what does not fit is named.
#include "library/inventory.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "../adapter/poly_case.h"
#include "../model/sites_only.h"
#include "../registry/made.h"
#include "base/error.h"
#include "base/sha256.h"
#include "library/routing_row.h"

namespace gaggle {
namespace {

const std::vector<Site> all_sites = {{0, "model.layers.0.self_attn.q_proj", "q_proj", 0, 8, 4},
                                     {1, "model.layers.0.mlp.up_proj", "up_proj", 0, 4, 12},
                                     {2, "model.layers.1.self_attn.q_proj", "q_proj", 1, 8, 4}};

PolySpec small_spec(Granularity granularity = Granularity::site, Routing routing = Routing::learned) {
  PolySpec spec;
  spec.sites = lora_sites(all_sites, {}, 2, 1);
  spec.heads = 4, spec.skills = 3, spec.tasks = 3;
  spec.granularity = granularity;
  spec.routing = routing;
  return spec;
}

template <class Work>
std::string refusal(const Work& work) {
  try {
    work();
  } catch (const UserError& error) {
    return error.what();
  }
  return "";
}

TEST(InventoryValues, GivesBackWhatWasWritten) {
  for (const auto granularity : {Granularity::site, Granularity::layer, Granularity::stack, Granularity::model}) {
    const PolySpec spec = small_spec(granularity);
    const at::Tensor values = test::random_poly(spec);
    const PeftAdapter poly = inventory_to_peft(spec, values, {"base"});
    EXPECT_TRUE(at::equal(inventory_values(poly, spec, "here"), values));
    ASSERT_EQ(poly.sites.size(), 3u);
    // PEFT knows of no sharing: every site has its own copy.
    EXPECT_EQ(poly.sites[1].tensors[2].values == poly.sites[2].tensors[2].values,
              granularity == Granularity::stack || granularity == Granularity::model);
  }
}

// As PEFT reads it, every task's mixture is the one that fixed routing gives.
TEST(InventoryValues, FixedRoutingBecomesLogitsThatGiveIt) {
  for (const Routing routing : {Routing::one_hot, Routing::uniform}) {
    const PolySpec spec = small_spec(Granularity::site, routing), learned = small_spec();
    const at::Tensor values = test::random_poly(spec);
    const at::Tensor read = inventory_values(inventory_to_peft(spec, values, {"base"}), learned, "here");
    for (int task = 0; task < 3; ++task)
      EXPECT_LT(test::apart(mixed_adapter(learned, read, task), mixed_adapter(spec, values, task)), 1e-7);
    EXPECT_TRUE(at::equal(inventory_values(inventory_to_peft(spec, values, {"base"}), spec, "here"), values));
  }
}

TEST(InventoryValues, NamesWhatDoesNotFit) {
  const PolySpec spec = small_spec();
  const PeftAdapter poly = inventory_to_peft(spec, test::random_poly(spec), {"base"});
  const auto message = [&](PolySpec changed) { return refusal([&] { inventory_values(poly, changed, "folder/x"); }); };
  PolySpec other = spec;
  other.skills = 5;
  EXPECT_NE(message(other).find("3 skills, 4 heads and 3 tasks, and the run 5 skills, 4 heads and 3 tasks"),
            std::string::npos)
      << message(other);
  EXPECT_NE(message(other).find("folder/x"), std::string::npos);
  other = spec;
  other.tasks = 4;
  EXPECT_NE(message(other).find("3 tasks"), std::string::npos);
  other = spec;
  other.sites.pop_back();
  EXPECT_NE(message(other).find("3 linears"), std::string::npos) << message(other);
  other = spec;
  other.sites[0].rank = 1;
  EXPECT_NE(message(other).find("is [4, 3, 2, 2] there, here it would be [4, 3, 2, 1]"), std::string::npos)
      << message(other);
  other = spec;
  other.sites[2].site.name = "model.layers.9.self_attn.q_proj";
  EXPECT_NE(message(other).find("model.layers.9"), std::string::npos) << message(other);
}

Inventory small_inventory(const std::string& method, const PolySpec& spec) {
  Inventory inventory;
  inventory.spec = spec;
  inventory.values = test::random_poly(spec);
  inventory.name = "demo";
  inventory.method = method;
  inventory.tasks = {"sums", "words", "dates"};
  return inventory;
}

TEST(Inventory, ComesBackFromARegistry) {
  const made::Folder folder;
  const test::SitesOnly base(all_sites);
  Registry registry = Registry::open(folder.path / "r", made::base, true);
  const std::vector<std::pair<std::string, Routing>> methods = {
      {"mhr", Routing::learned}, {"shared", Routing::uniform}, {"private", Routing::one_hot}};
  for (const auto& [method, routing] : methods) {
    const Inventory made = small_inventory(method, small_spec(Granularity::layer, routing));
    const std::string version =
        store_inventory(registry, made, {base, DType::f32, method, {{"recipe", {{"seed", 3}}}}});
    const Inventory back = load_inventory(registry, "demo", all_sites);
    EXPECT_EQ(back.method, method);
    EXPECT_EQ(back.tasks, made.tasks);
    EXPECT_EQ(back.pin(), "demo@" + version);
    EXPECT_EQ(back.spec.granularity, Granularity::layer);
    EXPECT_EQ(back.spec.routing, routing);
    EXPECT_EQ(back.spec.sites[0].scale, 0.5);
    EXPECT_TRUE(at::equal(back.values, made.values)) << method;
    EXPECT_EQ(back.task_number("dates"), 2);
    EXPECT_EQ(back.task_number("none"), -1);
    EXPECT_EQ(read_sidecar(registry.load(Kind::inventory, "demo"))["recipe"]["seed"], 3);

    EXPECT_NE(refusal([&] {
                load_inventory(registry, "demo", {all_sites[0], all_sites[1]});
              }).find(all_sites[2].name),
              std::string::npos);
    std::vector<Site> wider = all_sites;
    wider[1].d_out = 16;
    EXPECT_NE(refusal([&] { load_inventory(registry, "demo", wider); }).find("here it would be [4, 3, 2, 4]"),
              std::string::npos);
  }
}

// Recipes of adaptations name what they start from by this; it must not move when the registry's layout does.
TEST(Inventory, ItsDigestIsThatOfTheSumsUnderTheSidecarsFirstName) {
  const made::Folder folder;
  const test::SitesOnly base(all_sites);
  Registry registry = Registry::open(folder.path / "r", made::base, true);
  store_inventory(registry, small_inventory("mhr", small_spec()), {base, DType::f32, "k", {}});
  std::string sums = read_file(registry.load(Kind::inventory, "demo").folder / "SHA256SUMS");
  const size_t at = sums.find("inventory.json");
  ASSERT_NE(at, std::string::npos);
  sums.replace(at, 14, "routed.json");
  EXPECT_EQ(load_inventory(registry, "demo", all_sites).digest, sha256_hex(sums));
}

TEST(RoutingRow, StandsInForTheTableAndLeavesTheSkills) {
  const made::Folder folder;
  const test::SitesOnly base(all_sites);
  Registry registry = Registry::open(folder.path / "r", made::base, true);
  store_inventory(registry, small_inventory("mhr", small_spec(Granularity::layer)), {base, DType::f32, "k", {}});
  Inventory parent = load_inventory(registry, "demo", all_sites);
  PolySpec one = parent.spec;
  one.tasks = 1;
  RoutingRow row{"new.z", "", "", "new", parent.pin(), row_logits(one, test::random_poly(one))};
  EXPECT_EQ(store_routing_row(registry, row, {base, DType::bf16, "z", {{"task", "new"}}}), "v0001");
  const RoutingRow back = load_routing_row(registry, "new.z");
  EXPECT_EQ(back.pin() + " " + back.task + " " + back.parent, "new.z@v0001 new demo@v0001");
  ASSERT_EQ(back.logits.size(), 2u);
  for (const auto& [name, logits] : row.logits) EXPECT_TRUE(at::equal(back.logits.at(name), logits));

  // The second task's own row gives what the table gives for it.
  const ParameterLayout layout = poly_layout(parent.spec);
  for (auto& [name, logits] : row.logits) logits = layout.view(parent.values, name).narrow(0, 1, 1);
  const Inventory mixed = with_routing_row(parent, row);
  EXPECT_EQ(mixed.tasks, std::vector<std::string>{"new"});
  EXPECT_EQ(mixed.pretrained_on, parent.tasks);
  EXPECT_TRUE(at::equal(mixed_adapter(mixed.spec, mixed.values, 0), mixed_adapter(parent.spec, parent.values, 1)));
  EXPECT_TRUE(at::equal(averaged_skills(mixed.spec, mixed.values), averaged_skills(parent.spec, parent.values)));
  row.logits.erase(row.logits.begin());
  EXPECT_THROW(with_routing_row(parent, row), UserError);
  parent.spec.routing = Routing::uniform;
  EXPECT_THROW(with_routing_row(parent, row), UserError);
}

}  // namespace
}  // namespace gaggle
