// Processes that die or race in the middle of a commit leave a registry that verifies.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <set>

#include "made.h"
#include "registry/registry.h"

namespace gaggle {
namespace {

template <class Body>
pid_t in_child(Body body) {
  const pid_t child = ::fork();
  if (child == 0) {
    try {
      body();
    } catch (...) {
      ::_exit(1);
    }
    ::_exit(0);
  }
  return child;
}

TEST(Torn, KillAtAnyMomentLeavesNoHalfVersion) {
  made::Folder folder;
  Registry registry = Registry::open(folder.path / "r", made::base, true);
  for (int round = 0; round < 50; ++round) {
    const pid_t child = in_child([&] {
      for (int i = 0;; ++i)
        registry.commit(made::expert("tomi", "k" + std::to_string(round) + "-" + std::to_string(i), 1));
    });
    ::usleep(static_cast<useconds_t>(500 + 397 * round));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    for (const auto& info : registry.list(Kind::expert))
      for (const char* file : {"adapter_model.safetensors", "gate.safetensors", "expert.json", "SHA256SUMS"})
        ASSERT_TRUE(fs::exists(info.folder / file)) << info.version;
  }
  EXPECT_TRUE(registry.verify().empty());  // no CURRENT that was being written either
  registry.commit(made::expert("other", "k", 1));
  EXPECT_TRUE(fs::is_empty(folder.path / "r" / ".staging"));  // what the dead left is swept
}

TEST(Torn, NoHalfInventoryOrRoutingRow) {
  made::Folder folder;
  Registry registry = Registry::open(folder.path / "r", made::base, true);
  registry.commit(made::inventory("mhr", "first", 1));
  for (int round = 0; round < 20; ++round) {
    const pid_t child = in_child([&] {
      for (int i = 0;; ++i) {
        const std::string key = std::to_string(round) + "-" + std::to_string(i);
        registry.commit(made::inventory("mhr", key, 1));
        registry.commit(made::routing_row(registry, "new", key, "mhr", 1));
      }
    });
    ::usleep(static_cast<useconds_t>(1000 + 9001 * round));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
  }
  EXPECT_GT(registry.list(Kind::inventory).size(), 1u);
  EXPECT_TRUE(registry.verify().empty());
}

TEST(Torn, TwoProcessesCommitAtOnce) {
  made::Folder folder;
  Registry registry = Registry::open(folder.path / "r", made::base, true);
  std::vector<pid_t> children;
  for (int worker = 0; worker < 3; ++worker)
    children.push_back(in_child([&] {
      for (int i = 0; i < 10; ++i) registry.commit(made::expert("tomi", "key" + std::to_string(i), 1));
    }));
  for (pid_t child : children) {
    int status = -1;
    ::waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
  }
  std::set<std::string> keys;
  for (const Version& version : registry.list(Kind::expert))
    EXPECT_TRUE(keys.insert(key_of(version.folder, version.kind)).second) << version.pin();
  EXPECT_EQ(keys.size(), 10u);
  EXPECT_TRUE(registry.verify().empty());
}

}  // namespace
}  // namespace gaggle
