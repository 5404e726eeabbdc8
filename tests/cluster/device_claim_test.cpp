#include "cluster/device_claim.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

namespace gaggle {
namespace {

// What another process is given.
int claimed_by_another(const std::vector<std::string>& uuids) {
  const pid_t child = ::fork();
  if (child == 0) {
    const auto claimed = claim_device(uuids);
    ::_exit(claimed ? static_cast<int>(*claimed) : 100);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WEXITSTATUS(status);
}

TEST(DeviceClaim, ProcessesTakeOneEachAndALockEndsWithItsProcess) {
  const std::string tag = "test-" + std::to_string(::getpid());
  const std::vector<std::string> two = {tag + "-a", tag + "-b"};
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t first = ::fork();
  if (first == 0) {
    const bool got = claim_device(two) == 0u;
    if (::write(ready[1], &got, 1) == 1) ::pause();
    ::_exit(0);
  }
  bool got = false;
  ASSERT_EQ(::read(ready[0], &got, 1), 1);
  EXPECT_TRUE(got);
  EXPECT_EQ(claimed_by_another(two), 1);
  EXPECT_EQ(claimed_by_another({two[0]}), 100);
  ::kill(first, SIGKILL);
  ::waitpid(first, nullptr, 0);
  EXPECT_EQ(claimed_by_another(two), 0);
  EXPECT_EQ(claim_device({""}), 0u);
  for (const std::string& uuid : two) ::unlink((std::string("/tmp/gaggle-") + uuid + ".lock").c_str());
}

}  // namespace
}  // namespace gaggle
