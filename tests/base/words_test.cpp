// Words for people: numbers of things, and errors with what caused them.
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/table.h"

namespace gaggle {
namespace {

TEST(Words, NumbersOfThings) {
  EXPECT_EQ(plural(0, "task"), "0 tasks");
  EXPECT_EQ(plural(1, "task"), "1 task");
  EXPECT_EQ(plural(1200, "task"), "1,200 tasks");
}

TEST(ErrorText, NamesEveryCauseDownTheChain) {
  const auto inner = [] {
    try {
      system_error("disk full");
    } catch (const SystemError&) {
      system_error_because("{} cannot be written", "a.json");
    }
  };
  try {
    try {
      inner();
    } catch (const SystemError&) {
      system_error_because("the checkpoint of step {} was not saved", 4);
    }
    FAIL();
  } catch (const SystemError& error) {
    EXPECT_STREQ(error.what(), "the checkpoint of step 4 was not saved");
    EXPECT_EQ(error_text(error), "the checkpoint of step 4 was not saved: a.json cannot be written: disk full");
  }
  EXPECT_EQ(error_text(UserError("alone")), "alone");
}

}  // namespace
}  // namespace gaggle
