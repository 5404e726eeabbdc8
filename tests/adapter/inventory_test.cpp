// Inventories into PEFT Poly's form and a registry, and back; what does not fit is named.
#include "adapter/inventory.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "../registry/made.h"
#include "adapter/poly_peft.h"
#include "base/error.h"
#include "poly_case.h"

namespace gaggle {
namespace {

const std::vector<Site> all_sites = {{0, "model.layers.0.self_attn.q_proj", "q_proj", 0, 8, 4},
                                     {1, "model.layers.0.mlp.up_proj", "up_proj", 0, 4, 12},
                                     {2, "model.layers.1.self_attn.q_proj", "q_proj", 1, 8, 4}};

PolySpec small_spec(const std::string& granularity = "site", Routing routing = Routing::learned) {
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

TEST(PolyPeft, GivesBackWhatWasWritten) {
  for (const std::string granularity : {"site", "layer", "stack", "model"}) {
    const PolySpec spec = small_spec(granularity);
    const at::Tensor values = test::random_poly(spec);
    const PeftPoly poly = poly_to_peft(spec, values, {"base"});
    EXPECT_TRUE(at::equal(poly_from_peft(poly, spec, "here"), values));
    ASSERT_EQ(poly.sites.size(), 3u);
    // PEFT knows of no sharing: every site has its own copy.
    EXPECT_EQ(poly.sites[1].logits == poly.sites[2].logits, granularity == "stack" || granularity == "model");
  }
}

// As PEFT reads it, every task's mixture is the one that fixed routing gives.
TEST(PolyPeft, FixedRoutingBecomesLogitsThatGiveIt) {
  for (const Routing routing : {Routing::own, Routing::uniform}) {
    const PolySpec spec = small_spec("site", routing), learned = small_spec();
    const at::Tensor values = test::random_poly(spec);
    const at::Tensor read = poly_from_peft(poly_to_peft(spec, values, {"base"}), learned, "here");
    for (int task = 0; task < 3; ++task)
      EXPECT_LT(test::apart(mixed_adapter(learned, read, task), mixed_adapter(spec, values, task)), 1e-7);
    EXPECT_TRUE(at::equal(poly_from_peft(poly_to_peft(spec, values, {"base"}), spec, "here"), values));
  }
}

TEST(PolyPeft, NamesWhatDoesNotFit) {
  const PolySpec spec = small_spec();
  const PeftPoly poly = poly_to_peft(spec, test::random_poly(spec), {"base"});
  const auto message = [&](PolySpec changed) {
    return refusal([&] { poly_from_peft(poly, changed, "folder/x"); });
  };
  PolySpec other = spec;
  other.skills = 5;
  EXPECT_NE(message(other).find("3 skills, 4 heads and 3 tasks, and the run 5, 4 and 3"), std::string::npos)
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
  EXPECT_NE(message(other).find("of rank 2 there"), std::string::npos) << message(other);
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
  const Registry registry = Registry::open(folder.path / "r", made::base, true);
  const std::vector<std::pair<std::string, Routing>> methods = {
      {"mhr", Routing::learned}, {"shared", Routing::uniform}, {"private", Routing::own}};
  for (const auto& [method, routing] : methods) {
    const Inventory made = small_inventory(method, small_spec("layer", routing));
    NewRouted routed = new_routed(made, all_sites, {"base"}, {{"recipe", {{"seed", 3}}}}, DType::f32);
    routed.key = method;
    commit_routed(registry, routed);
    const StoredRouted loaded = load_routed(registry, "demo");
    const Inventory back = inventory_of(loaded, all_sites);
    EXPECT_EQ(back.method, method);
    EXPECT_EQ(back.tasks, made.tasks);
    EXPECT_EQ(back.digest, loaded.digest);
    EXPECT_EQ(back.name + "@" + back.version, "demo@" + loaded.version);
    EXPECT_EQ(back.spec.granularity, "layer");
    EXPECT_EQ(back.spec.routing, routing);
    EXPECT_EQ(back.spec.sites[0].scale, 0.5);
    EXPECT_TRUE(at::equal(back.values, made.values)) << method;
    EXPECT_EQ(back.task_number("dates"), 2);
    EXPECT_EQ(back.task_number("none"), -1);
    EXPECT_EQ(nlohmann::json::parse(loaded.json)["recipe"]["seed"], 3);

    EXPECT_NE(refusal([&] {
                inventory_of(loaded, {all_sites[0], all_sites[1]});
              }).find(all_sites[2].name),
              std::string::npos);
    std::vector<Site> wider = all_sites;
    wider[1].d_out = 16;
    EXPECT_NE(refusal([&] { inventory_of(loaded, wider); }).find("12 x 4 of rank 2 there"), std::string::npos);
  }
}

}  // namespace
}  // namespace gaggle
