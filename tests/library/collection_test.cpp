// A collection whose experts are read when tokens take them: the same bits as of one that is in memory, with and without
// the registry's cache, and whatever happens to that.
#include "library/collection.h"

#include <gtest/gtest.h>

#include "../model/sites_only.h"
#include "../registry/made.h"
#include "base/error.h"

namespace gaggle {
namespace {

const std::vector<Site> two_sites = {{0, "layers.0.q_proj", "q_proj", 0, 12, 10}, {1, "layers.1.up", "up", 1, 10, 12}};
constexpr int experts = 7;

struct Stored {
  made::Folder folder;
  test::SitesOnly base{two_sites};
  Registry registry = Registry::open(folder.path / "r", made::base, true);

  // Ranks 1 … 7, types by turns; the third sits on the first site alone, the fourth has no gates, the last two are equal.
  Stored() {
    std::vector<std::string> names;
    for (int z = 0; z < experts; ++z) {
      const int like = std::min(z, experts - 2);
      Lora lora;
      lora.name = names.emplace_back(fmt::format("e{}", z));
      lora.sites = lora_sites(z == 2 ? std::vector{two_sites[0]} : two_sites, {}, like + 1, 1.5);
      lora.values = (at::arange(lora_layout(lora.sites).size(), at::kFloat) * (like + 1.3)).sin();
      for (const LoraSite& s : lora.sites)
        if (z != 3) lora.gates.push_back((at::arange(s.site.d_in, at::kFloat) * (like + 2.7)).cos());
      const DType type = like % 3 == 0 ? DType::f32 : like % 3 == 1 ? DType::bf16 : DType::f16;
      store_lora(registry, lora, {base, type, "k" + lora.name, {{"task", "t"}}});
    }
    registry.collect("all", names);
  }
  RoutedCollection opened(bool keep = true) { return open_collection(registry, "all", base, keep).collection; }
  RoutedCollection in_memory() { return routed_collection(load_collection(registry, "all", two_sites), base); }
  std::vector<fs::path> kept() const {
    std::vector<fs::path> files;
    for (const auto& entry : entries_of(registry.folder() / "cache")) files.push_back(entry.path());
    return files;
  }
};

std::vector<at::Tensor> results(RoutedAdapter& adapter) {
  std::vector<at::Tensor> all;
  for (const Site& site : two_sites) {
    const at::Tensor x = (at::arange(9 * site.d_in, at::kFloat) * 0.7).sin().view({9, site.d_in});
    at::Tensor y = at::zeros({9, site.d_out});
    adapter.forward(site, x, y);
    all.push_back(y);
  }
  return all;
}

std::vector<at::Tensor> results(const RoutedCollection& collection) {
  std::vector<at::Tensor> all;
  const auto add = [&](const std::unique_ptr<RoutedAdapter>& adapter) {
    for (const at::Tensor& y : results(*adapter)) all.push_back(y);
  };
  add(make_phatgoose(collection, 2));
  add(make_phatgoose(collection, 0));
  add(make_arrow(collection, Scoring::arrow_mttl, 2));
  add(make_single(collection, 4));
  add(make_merged(collection));
  return all;
}

void expect_same(const RoutedCollection& found, const RoutedCollection& expected) {
  const auto ours = results(found), theirs = results(expected);
  for (size_t i = 0; i < theirs.size(); ++i) EXPECT_TRUE(at::equal(ours[i], theirs[i])) << i;
  EXPECT_EQ(found.names, expected.names);
  EXPECT_EQ(found.not_finite, expected.not_finite);
  for (int z = 0; z < experts; ++z) EXPECT_EQ(found.gated(z), expected.gated(z)) << z;
}

TEST(StoredCollection, HasTheSameBitsWithAndWithoutTheCache) {
  Stored stored;
  const RoutedCollection expected = stored.in_memory();
  expect_same(stored.opened(/*keep=*/false), expected);
  EXPECT_TRUE(stored.kept().empty());
  expect_same(stored.opened(), expected);
  EXPECT_EQ(stored.kept().size(), 2u);  // the index, and Arrow's directions
  expect_same(stored.opened(), expected);
  EXPECT_EQ(stored.registry.verify(), std::vector<std::string>());
}

TEST(StoredCollection, AFlippedBitOfTheCacheChangesNothing) {
  Stored stored;
  const RoutedCollection expected = stored.in_memory();
  expect_same(stored.opened(), expected);
  for (const fs::path& file : stored.kept()) {
    std::string bytes = read_file(file);
    bytes[bytes.size() / 2] ^= 4;
    write_file_durable(file, bytes);
  }
  expect_same(stored.opened(), expected);
  EXPECT_EQ(stored.registry.verify(), std::vector<std::string>());  // they were made anew
}

// An expert nobody takes is not read: what is read is held against what was committed.
TEST(StoredCollection, ReadsWhatIsTakenAndChecksIt) {
  Stored stored;
  stored.opened();
  const fs::path file = stored.registry.load(Kind::expert, "e4").folder / adapter_file;
  std::string bytes = read_file(file);
  bytes.back() ^= 1;
  write_file_durable(file, bytes);
  const RoutedCollection collection = stored.opened();
  EXPECT_EQ(results(*make_single(collection, 1)).size(), 2u);
  for (int again = 0; again < 2; ++again) EXPECT_THROW(make_single(collection, 4), UserError);
  const auto routed = make_phatgoose(collection, 0);
  for (int again = 0; again < 2; ++again) EXPECT_THROW(results(*routed), UserError);
}

TEST(StoredCollection, AnotherVersionOfAnExpertIsAnotherKey) {
  Stored stored;
  expect_same(stored.opened(), stored.in_memory());
  Lora other = load_lora(stored.registry, "e1", two_sites);
  other.values = other.values * 2;
  store_lora(stored.registry, other, {stored.base, DType::f32, "other", {{"task", "t"}}});
  stored.registry.collect("all", {"e0", "e1", "e2", "e3", "e4", "e5", "e6"});
  expect_same(stored.opened(), stored.in_memory());
  EXPECT_EQ(stored.kept().size(), 4u);
  stored.registry.remove("all");
  EXPECT_TRUE(stored.kept().empty());
}

}  // namespace
}  // namespace gaggle
