#include "base/shell_word.h"

#include <gtest/gtest.h>

namespace gaggle {
namespace {

TEST(ShellWord, StandsAsItIsOrInQuotes) {
  EXPECT_EQ(shell_word("my/run-1.toml"), "my/run-1.toml");
  EXPECT_EQ(shell_word("my dir/a.toml"), "'my dir/a.toml'");
  EXPECT_EQ(shell_word("it's $HOME"), "'it'\\''s $HOME'");
  EXPECT_EQ(shell_word("[\"none\", \"arrow\"]"), "'[\"none\", \"arrow\"]'");
  EXPECT_EQ(shell_word(""), "''");
  EXPECT_EQ(shell_word("größe.toml"), "größe.toml");
}

}  // namespace
}  // namespace gaggle
