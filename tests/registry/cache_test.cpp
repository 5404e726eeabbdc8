// Files that are kept to save time: whole or not used, gone with their collection.
#include "registry/cache.h"

#include <gtest/gtest.h>

#include "base/sha256.h"
#include "made.h"
#include "registry/pins.h"

namespace gaggle {
namespace {

struct Kept {
  made::Folder folder;
  Registry registry = Registry::open(folder.path / "r", made::base, true);
  fs::path file;

  Kept() {
    registry.commit(made::expert("a", "k1", 0.5f));
    registry.collect("one-two", {"a"});
    file = cache_file(registry, registry.load(Kind::collection, "one-two"), "some key");
  }
  std::string contents() {
    const auto found = open_cache(registry, file);
    if (!found) return "";
    const auto bytes = found->bytes().subspan(seal_bytes);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
};

TEST(Cache, GivesBackWhatWasKeptUnderAKey) {
  Kept kept;
  EXPECT_EQ(kept.contents(), "");
  EXPECT_TRUE(keep_in_cache(kept.registry, kept.file, "what was computed"));
  EXPECT_EQ(kept.contents(), "what was computed");
  EXPECT_NE(kept.file, cache_file(kept.registry, kept.registry.load(Kind::collection, "one-two"), "another"));
  EXPECT_TRUE(keep_in_cache(kept.registry, kept.file, "the second of two writers"));
  EXPECT_EQ(kept.contents(), "the second of two writers");
  EXPECT_EQ(kept.registry.verify(), std::vector<std::string>());
}

TEST(Cache, AFlippedBitIsFoundNamedAndRemoved) {
  Kept kept;
  keep_in_cache(kept.registry, kept.file, "what was computed");
  std::string bytes = read_file(kept.file);
  bytes[70] ^= 1;
  write_file_durable(kept.file, bytes);
  const auto complaints = kept.registry.verify();
  ASSERT_EQ(complaints.size(), 1u);
  EXPECT_NE(complaints[0].find("damaged; remove it"), std::string::npos) << complaints[0];
  EXPECT_EQ(kept.contents(), "");
  EXPECT_FALSE(fs::exists(kept.file));
  write_file_durable(kept.file, bytes.substr(0, 30));  // and a torn one
  EXPECT_EQ(kept.contents(), "");
  EXPECT_FALSE(fs::exists(kept.file));
}

TEST(Cache, GoesWithItsCollection) {
  Kept kept;
  keep_in_cache(kept.registry, kept.file, "what was computed");
  const fs::path other = kept.file.parent_path() / "notes.txt";
  write_file_durable(other, "somebody's");
  kept.registry.remove("one-two");
  EXPECT_FALSE(fs::exists(kept.file));
  EXPECT_TRUE(fs::exists(other));
}

// Whoever cannot write goes on without.
TEST(Cache, WhereNothingCanBeWrittenNothingIsKept) {
  Kept kept;
  write_file_durable(kept.file.parent_path(), "a file in the folder's place");
  EXPECT_FALSE(keep_in_cache(kept.registry, kept.file, "what was computed"));
  EXPECT_EQ(kept.contents(), "");
}

}  // namespace
}  // namespace gaggle
