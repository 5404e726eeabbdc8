// Texts of others reach the terminal visible, cut and quoted; JSON is read within limits, and its errors stay short.
#include "base/terminal.h"

#include <gtest/gtest.h>

#include "base/json.h"
#include "base/table.h"

namespace gaggle {
namespace {

TEST(Visible, NothingOfATextActsOnTheTerminal) {
  EXPECT_EQ(visible("\x1b]0;owned\x07 \x1b[31mred"), "\\x1b]0;owned\\x07 \\x1b[31mred");
  EXPECT_EQ(visible("two\n\tlines\r"), "two\n\tlines\\x0d");
  EXPECT_EQ(visible("caf\u00e9 \u20ac \U0001F986"), "caf\u00e9 \u20ac \U0001F986");
  EXPECT_EQ(visible("\u009b31m\x7f"), "\\x9b31m\\x7f") << "the control characters beyond ASCII too";
  EXPECT_EQ(visible("a\xff\xc0\xaf\xed\xa0\x80"), "a\\xff\\xc0\\xaf\\xed\\xa0\\x80") << "no UTF-8";
}

TEST(Shown, StaysOnOneLineAndIsCut) {
  EXPECT_EQ(shown("a\nb\tc"), "a\\nb\\tc");
  EXPECT_EQ(shown("abc\u202Egnp"), "abc\\u{202e}gnp");
  EXPECT_EQ(shown("\u20ac\u20ac\u20ac", 2), "\u20ac\u20ac…");
  EXPECT_EQ(shown(std::string(1000, 'x')).size(), 200 + std::string("…").size());
  EXPECT_EQ(in_quotes("a\x1b"), "\"a\\x1b\"");
}

TEST(Shown, TablesKeepTheirLines) {
  Table table({"name"});
  table.add({"one\ntwo\x1b[2J"});
  EXPECT_EQ(table.text(), "name\none\\ntwo\\x1b[2J\n");
}

TEST(Utf8, IsTold) {
  EXPECT_TRUE(is_valid_utf8("caf\u00e9"));
  for (const char* bad : {"\xff", "\xc3", "\xc0\xaf", "\xed\xa0\x80", "\xf5\x80\x80\x80"})
    EXPECT_FALSE(is_valid_utf8(bad));
}

std::string refusal(std::string_view text) {
  try {
    parse_json(text);
  } catch (const nlohmann::json::exception& error) {
    return error.what();
  }
  return "none";
}

TEST(ParseJson, DeepNestingIsRefusedBeforeItIsRead) {
  const auto nested = [](size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_EQ(refusal(nested(64)), "none");
  EXPECT_EQ(refusal(nested(65)), "nested deeper than 64 levels");
  EXPECT_EQ(refusal(std::string(300'000, '[')), "nested deeper than 64 levels");
  EXPECT_EQ(refusal("{\"text\": \"" + std::string(100, '[') + "\\\"" + std::string(100, '{') + "\"}"), "none")
      << "brackets inside a text";
}

TEST(ParseJson, ErrorsNameThePlaceAndQuoteNoWholeFile) {
  EXPECT_EQ(refusal("{\n  oops").find("line 2, column 3: syntax error"), 0u) << refusal("{\n  oops");
  EXPECT_NE(refusal("1e999").find("1e999"), std::string::npos);
  EXPECT_LT(refusal("{\"input\": \"" + std::string(1'000'000, 'x') + "\n").size(), 500u);
  try {
    parse_json("[1,]");
    FAIL();
  } catch (const JsonError& error) {
    EXPECT_EQ(error.byte, 4u);
  }
}

}  // namespace
}  // namespace gaggle
