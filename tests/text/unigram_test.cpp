// The unigram model and the Unicode it needs, one by one.
#include "text/unigram.h"

#include <gtest/gtest.h>

#include "text/normalizer.h"

namespace gaggle {
namespace {

Unigram model(const std::vector<std::pair<std::string, double>>& vocabulary) {
  Unigram unigram;
  for (const auto& [token, score] : vocabulary) {
    const auto id = static_cast<int32_t>(unigram.scores.size());
    unigram.ids.emplace(token, id);
    unigram.scores.push_back(score);
    if (id != unigram.unknown) unigram.pieces.insert(token, id);
  }
  unigram.unknown_score = -20;
  return unigram;
}

std::vector<int32_t> tokens(const Unigram& unigram, std::string_view word) {
  std::vector<int32_t> result;
  append_tokens(unigram, word, result);
  return result;
}

TEST(Unigram, LargestSumThenLongestLastPiece) {
  const Unigram unigram = model({{"<unk>", 0}, {"a", -1}, {"b", -1}, {"ab", -2}, {"aa", -3}, {"aaa", -4}, {"bb", -2}});
  EXPECT_EQ(tokens(unigram, "aaa"), (std::vector<int32_t>{1, 1, 1}));
  EXPECT_EQ(tokens(unigram, "ab"), std::vector<int32_t>{3});        // -2 = -1 - 1
  EXPECT_EQ(tokens(unigram, "abb"), (std::vector<int32_t>{1, 6}));  // "a bb", "ab b" and "a b b" are -3
  EXPECT_EQ(tokens(unigram, ""), std::vector<int32_t>{});
}

TEST(Unigram, RunsOfUnknownCharacters) {
  Unigram unigram = model({{"<unk>", 0}, {"a", -1}, {"xy", -30}, {"<0xC3>", -5}, {"<0xA9>", -5}, {"zé", -50}});
  EXPECT_EQ(tokens(unigram, "xéaé"), (std::vector<int32_t>{0, 1, 0}));
  EXPECT_EQ(tokens(unigram, "xy"), std::vector<int32_t>{2});  // better than two unknown characters
  EXPECT_EQ(tokens(unigram, "zé"), std::vector<int32_t>{0});  // worse
  unigram.byte_fallback = true;
  EXPECT_EQ(tokens(unigram, "éaéé"), (std::vector<int32_t>{3, 4, 1, 3, 4, 3, 4}));
  EXPECT_EQ(tokens(unigram, "éxa"), (std::vector<int32_t>{0, 1}));  // no byte token for "x": the whole run is unknown
}

TEST(Normalizer, NmtAndStrip) {
  EXPECT_EQ(normalize({NmtRule{}}, "a\tb\u200Bc\x07\x7F\u2581d\u3000"), "a b c d\u3000");
  EXPECT_EQ(normalize({StripSpace{false, true}}, " \u3000a \u3000"), " \u3000a");
  EXPECT_EQ(normalize({StripSpace{}}, " \u3000"), "");
}

TEST(Unicode, GraphemeClusters) {
  const auto first = [](std::string_view text) { return grapheme_end(text, 0); };
  EXPECT_EQ(first("ab"), 1u);
  EXPECT_EQ(first("\r\na"), 2u);
  EXPECT_EQ(first("e\u0301\u0323x"), 5u);
  EXPECT_EQ(first("🇩🇪🇫🇷"), 8u);
  EXPECT_EQ(first("\u1112\u1161\u11ab"), 9u);
}

}  // namespace
}  // namespace gaggle
