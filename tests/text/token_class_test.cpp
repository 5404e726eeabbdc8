// Classes of tokens by the texts that they stand for.
#include "text/token_class.h"

#include <gtest/gtest.h>

namespace gaggle {
namespace {

// Tokens are numbers in a list of texts; a text begins without its space, as those of SentencePiece.
struct ListedTokens : Tokenizer {
  std::vector<std::string> texts = {
      "a", " dog", "s", "42", " 3.5", ".", " (", "\n", " ", "", "\xC3", "\xF0\x9F\x99\x82", "'t", " \xC3\xA9t\xC3\xA9"};
  std::vector<int32_t> encode(std::span<const TextPiece>) const override { return {0}; }
  std::string decode(std::span<const int32_t> ids) const override {
    std::string text;
    for (const int32_t id : ids) text += texts[static_cast<size_t>(id)];
    return text.starts_with(" ") ? text.substr(1) : text;
  }
  std::optional<int32_t> id_of(std::string_view) const override { return {}; }
  std::string token_of(int32_t id) const override { return texts[static_cast<size_t>(id)]; }
  int32_t size() const override { return static_cast<int32_t>(texts.size()); }
};

std::vector<std::string> classes_of(std::vector<int32_t> ids) {
  const ListedTokens tokens;
  std::vector<std::string> names;
  for (const TokenClass kind : TokenClasses(tokens).classes_of(ids))
    names.push_back(token_class_names[static_cast<size_t>(kind)]);
  return names;
}

using Names = std::vector<std::string>;

TEST(TokenClasses, go_by_the_text) {
  EXPECT_EQ(classes_of({1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13}),
            (Names{"word start", "number", "number", "punctuation", "punctuation", "white space", "white space",
                   "special", "other", "other", "word start"}));
}

TEST(TokenClasses, a_word_goes_on_right_behind_letters_and_digits) {
  EXPECT_EQ(classes_of({2, 2, 12}), (Names{"word start", "word continuation", "word continuation"}));
  EXPECT_EQ(classes_of({3, 2}), (Names{"number", "word continuation"}));
  for (const int32_t before : {5, 7, 8, 9, 11}) EXPECT_EQ(classes_of({1, before, 2})[2], "word start") << before;
  EXPECT_EQ(classes_of({2, 1}), (Names{"word start", "word start"}));
}

TEST(TokenClasses, texts_keep_the_space_that_a_decoder_drops_at_the_beginning) {
  const ListedTokens tokens;
  TokenClasses classes(tokens);
  EXPECT_EQ(classes.text_of(1), " dog");
  EXPECT_EQ(classes.text_of(8), " ");
  EXPECT_EQ(classes.text_of(9), "");
  EXPECT_EQ(classes.text_of(10), "\xEF\xBF\xBD");
}

}  // namespace
}  // namespace gaggle
