// What pins and names promise while others commit and remove: numbers are given once, pins hold or are refused, CURRENT
// does not go back, what is broken stands in nobody's way.
#include "registry/pins.h"

#include <functional>
#include <set>
#include <thread>

#include "base/error.h"
#include "made.h"
#include "registry/export.h"
#include "registry/import.h"
#include "registry/listing.h"

namespace gaggle {
namespace {

struct Pins : testing::Test {
  made::Folder folder;
  Registry registry = Registry::open(folder.path / "r", made::base, true);
  fs::path root = folder.path / "r";

  std::vector<std::string> pinned(const std::string& collection) {
    std::vector<std::string> pins;
    for (const PinnedExpert& one : read_pins(registry.load(Kind::collection, collection)))
      pins.push_back(one.pin.text());
    return pins;
  }
  std::string why_refused(const std::function<void()>& act) {
    try {
      act();
    } catch (const std::runtime_error& error) {
      return error.what();
    }
    return "not refused";
  }
  bool complains(const std::string& words) {
    for (const std::string& complaint : registry.verify())
      if (complaint.find(words) != std::string::npos) return true;
    return false;
  }
};

using Names = std::vector<std::string>;

TEST_F(Pins, AVersionsNumberIsNeverGivenTwice) {
  registry.commit(made::expert("a", "k1", 1));
  registry.commit(made::expert("a", "k2", 2));
  registry.remove("a");
  EXPECT_FALSE(registry.find(Kind::expert, "a"));
  EXPECT_EQ(registry.commit(made::expert("a", "k1", 1)), "v0003");
  registry.remove("a");
  EXPECT_EQ(registry.commit(made::expert("a", "k1", 1)), "v0004");
  registry.commit(made::inventory("a", "k1", 1));
  registry.remove("inventories/a");
  EXPECT_EQ(registry.commit(made::inventory("a", "k1", 1)), "v0002");
  EXPECT_TRUE(registry.verify().empty());
  write_file_durable(root / "removed" / "experts" / "a", "three\n");
  EXPECT_NE(why_refused([&] { registry.commit(made::expert("a", "k5", 5)); }).find("removed/experts/a"),
            std::string::npos);
}

TEST_F(Pins, APinThatIsGoneOrAnotherOneIsRefusedByName) {
  registry.commit(made::expert("a", "k1", 1));
  registry.commit(made::expert("b", "k2", 2));
  registry.collect("demo", {});
  const Version demo = registry.load(Kind::collection, "demo");
  EXPECT_EQ(pinned_expert(registry, demo, read_pins(demo)[0]).pin(), "a@v0001");
  fs::remove_all(root / "experts" / "a");
  EXPECT_NE(why_refused([&] {
              pinned_expert(registry, demo, read_pins(demo)[0]);
            }).find("collection demo@v0001 pins a@v0001, which is not there any more"),
            std::string::npos);
  registry.commit(made::expert("a", "k1", 3));
  EXPECT_NE(
      why_refused([&] { pinned_expert(registry, demo, read_pins(demo)[0]); }).find("is not the one that was pinned"),
      std::string::npos);
  EXPECT_NE(why_refused([&] { grown(registry, "demo", {"b"}); }).find("a@v0001"), std::string::npos);
  EXPECT_EQ(grown(registry, "demo", {}, {"a"}), Names{"b@v0001"});
  EXPECT_EQ(grown(registry, "demo", {"a"}), (Names{"a", "b@v0001"}));
}

// Whoever comes second sees what the first did: no collection is left that pins what is gone.
TEST_F(Pins, CollectAndRemoveAtOnceLeaveNoDanglingPin) {
  registry.commit(made::expert("a", "k", 1));
  for (int round = 0; round < 20; ++round) {
    registry.commit(made::expert("b", "k", 2));
    std::thread remover([&] { why_refused([&] { Registry(registry).remove("b"); }); });
    why_refused([&] { registry.collect("demo", {"a", "b"}); });
    remover.join();
    EXPECT_EQ(registry.verify(), Names()) << "round " << round;
    if (registry.find(Kind::collection, "demo")) registry.remove("demo");
  }
}

TEST_F(Pins, CommitAndRemoveAtOnceLeaveASoundRegistry) {
  std::set<std::string> given;
  for (int round = 0; round < 40; ++round) {
    std::thread remover([&] {
      for (int i = 0; i < 5; ++i) why_refused([&] { Registry(registry).remove("a"); });
    });
    const auto [at, is_new] = given.insert(registry.commit(made::expert("a", std::to_string(round), 1)));
    EXPECT_TRUE(is_new) << *at;
    remover.join();
  }
  EXPECT_EQ(registry.verify(), Names());
}

TEST_F(Pins, CurrentDoesNotGoBackWhatIsImportedAgain) {
  made::write_peft_folder(folder.path / "peft", made::config, tensor_file_bytes(made::lora(4)));
  const NewVersion imported = read_import(folder.path / "peft", "in", std::nullopt);
  EXPECT_EQ(registry.commit(imported), "v0001");
  NewVersion gated = made::expert("in", "gates", 4);
  gated.sidecar["parents"] = {"in@v0001"};
  EXPECT_EQ(registry.commit(gated), "v0002");
  testing::internal::CaptureStderr();
  EXPECT_EQ(registry.commit(imported), "v0001");
  EXPECT_NE(testing::internal::GetCapturedStderr().find("CURRENT stays at the newer v0002"), std::string::npos);
  EXPECT_EQ(registry.find(Kind::expert, "in")->version, "v0002");
  EXPECT_EQ(registry.make_current(Kind::expert, "in", "v0001"), "v0002");  // which gives gates to it
  EXPECT_EQ(registry.find(Kind::expert, "in")->version, "v0002");
  // Who could not move CURRENT moves it the next time.
  write_file_durable(root / "experts" / "in" / "CURRENT", "v0001\n");
  EXPECT_EQ(registry.commit(gated), "v0002");
  EXPECT_EQ(registry.find(Kind::expert, "in")->version, "v0002");
}

TEST_F(Pins, ACollectionGrowsByName) {
  for (const char* name : {"a", "b", "c"}) registry.commit(made::expert(name, "k", 1));
  grow(registry, "demo", {"a", "b"});
  registry.commit(made::expert("b", "k2", 2));
  EXPECT_EQ(grow(registry, "demo", {"c"}), "v0002");
  EXPECT_EQ(pinned("demo"), (Names{"a@v0001", "b@v0001", "c@v0001"}));
  EXPECT_EQ(grow(registry, "demo", {"a", "b@v0001"}), "v0002");
  grow(registry, "demo", {"b"});
  EXPECT_EQ(pinned("demo"), (Names{"a@v0001", "b@v0002", "c@v0001"}));
  // What was asked for last is in use, also where an older version pins the same.
  EXPECT_EQ(registry.collect("demo", {"a", "b@v0001"}), "v0004");
  EXPECT_EQ(pinned("demo"), (Names{"a@v0001", "b@v0001"}));
  const auto pins = [&](const char* pin) { return read_pins(registry.load(Kind::collection, pin)); };
  EXPECT_EQ(changes_text(pins("demo@v0003"), pins("demo@v0004")), " (b at v0001, was v0002; dropped c)");
  EXPECT_EQ(changes_text(pins("demo@v0001"), pins("demo@v0002")), " (added c)");
  EXPECT_NE(why_refused([&] { grown(registry, "demo", {}, {"c"}); }).find("--drop c"), std::string::npos);
  EXPECT_NE(why_refused([&] { grown(registry, "demo", {"c", "c@v0001"}); }).find("twice"), std::string::npos);
}

TEST_F(Pins, WhatAdaptMadeIsCollectedOnlyWhereItIsNamed) {
  registry.commit(made::expert("a", "k", 1));
  NewVersion adapted = made::expert("a.lora", "k", 1);
  adapted.sidecar["recipe"] = {{"adapt", {{"method", "lora"}}}};
  registry.commit(adapted);
  registry.collect("demo", {});
  EXPECT_EQ(pinned("demo"), Names{"a@v0001"});
  grow(registry, "demo", {"a.lora"});
  EXPECT_EQ(pinned("demo"), (Names{"a@v0001", "a.lora@v0001"}));
}

TEST_F(Pins, WhatIsBrokenIsMarkedAndStandsInNobodysWay) {
  for (const char* name : {"one", "two", "three"}) registry.commit(made::expert(name, "", 1));
  registry.collect("c", {"two"});
  registry.collect("d", {"three"});
  write_file_durable(root / "experts" / "one" / "v0001" / "expert.json", "{");
  write_file_durable(root / "collections" / "c" / "v0001" / "collection.json", "{");
  const std::string text = listing_page(registry).text();
  for (const char* words : {"one ", "v0001 broken", "two ", "expert.json: not JSON", "collection c: broken",
                            "collection.json: not JSON", "collection d: 1 expert"})
    EXPECT_NE(text.find(words), std::string::npos) << words << "\n" << text;
  EXPECT_EQ(registry.commit(made::expert("one", "", 1)), "v0002");
  registry.remove("one");
  registry.remove("two");
  EXPECT_THROW(registry.remove("three"), UserError);
  registry.remove("c");
  registry.remove("d");
  registry.remove("three");
  EXPECT_EQ(registry.verify(), Names());
}

TEST_F(Pins, VerifySeesACurrentThatIsAFolderAndAVersionBeyondEightDigits) {
  registry.commit(made::expert("a", "k", 1));
  fs::remove(root / "experts" / "a" / "CURRENT");
  fs::create_directory(root / "experts" / "a" / "CURRENT");
  EXPECT_TRUE(complains("CURRENT: not a file"));
  fs::remove(root / "experts" / "a" / "CURRENT");
  fs::create_directory(root / "experts" / "a" / "v123456789");
  EXPECT_TRUE(complains("v123456789: neither a version nor CURRENT"));
  fs::remove(root / "experts" / "a" / "v123456789");
  fs::rename(root / "experts" / "a" / "v0001", root / "experts" / "a" / "v99999999");
  EXPECT_NE(why_refused([&] { registry.commit(made::expert("a", "k2", 2)); }).find("beyond the last number"),
            std::string::npos);
}

// made::poly: two heads, three skills whose values are value + skill, two tasks.
TEST_F(Pins, ATasksMixtureIsExportedAsOneLora) {
  NewVersion inventory = made::inventory("mhr", "k", 1);
  PeftAdapter poly = made::poly(1);
  poly.sites[0].tensors[2].values = {0, 0, 0, 0, 0, 0, 40, -40, -40, -40, -40, 40};  // "add" all alike, "copy" one each
  inventory.files[adapter_file] = tensor_file_bytes(peft_tensors(poly, DType::f32));
  registry.commit(inventory);
  export_mixture(registry, "mhr", "copy", {folder.path / "copy"});
  const PeftAdapter copy = read_peft(folder.path / "copy", {PeftKind::lora});
  // Head 0 takes skill 0 (value 1), head 1 skill 2 (value 3).
  EXPECT_EQ(copy.sites[0].tensors[0].values, (std::vector<float>{1, 1, 3, 3}));
  EXPECT_EQ(copy.sites[0].tensors[1].values, (std::vector<float>{1, 1, 3, 3}));
  EXPECT_EQ(copy.sites[0].scale, 1);
  export_mixture(registry, "mhr", "add", {folder.path / "add"});
  export_mean(registry, "mhr", {folder.path / "mean"});
  EXPECT_EQ(read_file(folder.path / "add" / adapter_file), read_file(folder.path / "mean" / adapter_file));
  EXPECT_NE(why_refused([&] { export_mixture(registry, "mhr", "ad", {folder.path / "x"}); }).find("add, copy"),
            std::string::npos);

  NewVersion row = made::routing_row(registry, "new.z", "k", "mhr", 0);
  row.files[routing_row_file] =
      tensor_file_bytes({from_float(std::string(made::site) + ".poly_router.module_logits", {1, 6},
                                    std::vector<float>{40, -40, -40, -40, -40, 40}, DType::f32)});
  registry.commit(row);
  export_mixture(registry, "new.z", "", {folder.path / "row"});
  EXPECT_EQ(read_file(folder.path / "row" / adapter_file), read_file(folder.path / "copy" / adapter_file));
}

}  // namespace
}  // namespace gaggle
