// Scores of generated texts on worked examples. (Equality with rouge-score, NLTK and SQuAD's script: test_text_scores.py.)
#include "eval/text_scores.h"

#include <gtest/gtest.h>

#include "eval/porter.h"

namespace gaggle {
namespace {

TEST(TextScores, an_exact_match_passes_over_white_space_at_both_ends_and_nothing_else) {
  EXPECT_EQ(exact_match(" box\n", "box"), 1);
  EXPECT_EQ(exact_match("Box", "box"), 0);
  EXPECT_EQ(exact_match("the box", "box"), 0);
  EXPECT_EQ(exact_match("a  b", "a b"), 0);
  EXPECT_EQ(exact_match(" \t", ""), 1);
  EXPECT_EQ(exact_match("\u00A0box", "box"), 0);  // white space of ASCII
}

TEST(TextScores, f1_is_of_words_without_case_punctuation_and_articles) {
  EXPECT_EQ(token_f1("The Eiffel-Tower!", "eiffeltower"), 1);
  EXPECT_EQ(token_f1("in the year 1066", "1066 the year"), 2 * (2.0 / 3) * 1 / (2.0 / 3 + 1));
  EXPECT_EQ(token_f1("b b c", "b c c"), 2.0 / 3);  // a word counts as often as both have it
  EXPECT_EQ(token_f1("cat", "dog"), 0);
  EXPECT_EQ(token_f1("the", "A, an!"), 1);  // neither has a word
  EXPECT_EQ(token_f1("the", "cat"), 0);
  EXPECT_EQ(token_f1("", ""), 1);
  EXPECT_EQ(token_f1("…a…b", "… …b"), 1);
}

TEST(TextScores, rouge_l_is_of_the_longest_common_subsequence) {
  // Lin (2004), 3.1: S2 keeps "police … the gunman" of S1, S3 "the gunman"; both of four words.
  EXPECT_EQ(rouge_l("police kill the gunman", "police killed the gunman", false), 0.75);
  EXPECT_EQ(rouge_l("the gunman kill police", "police killed the gunman", false), 0.5);
  EXPECT_EQ(rouge_l("police kill the gunman", "police killed the gunman", true), 1);
  EXPECT_EQ(rouge_l("a-b_c", "A B C", false), 1);
  EXPECT_EQ(rouge_l("…", "…", false), 0);
  for (const char* target : {"x y", "x x"}) EXPECT_EQ(rouge_l("x", target, false), 2 * 1 * 0.5 / 1.5);
}

// Examples of Porter's paper, step by step, then of NLTK's amendments.
TEST(TextScores, stems_are_those_of_the_paper_with_its_amendments) {
  for (const auto& [word, stem] : std::vector<std::pair<const char*, const char*>>{{"caresses", "caress"},
                                                                                   {"ponies", "poni"},
                                                                                   {"cats", "cat"},
                                                                                   {"agreed", "agre"},
                                                                                   {"feed", "feed"},
                                                                                   {"plastered", "plaster"},
                                                                                   {"bled", "bled"},
                                                                                   {"motoring", "motor"},
                                                                                   {"sing", "sing"},
                                                                                   {"conflated", "conflat"},
                                                                                   {"troubled", "troubl"},
                                                                                   {"sized", "size"},
                                                                                   {"hopping", "hop"},
                                                                                   {"falling", "fall"},
                                                                                   {"hissing", "hiss"},
                                                                                   {"filing", "file"},
                                                                                   {"happy", "happi"},
                                                                                   {"relational", "relat"},
                                                                                   {"rational", "ration"},
                                                                                   {"digitizer", "digit"},
                                                                                   {"radically", "radic"},
                                                                                   {"vietnamization", "vietnam"},
                                                                                   {"hopefulness", "hope"},
                                                                                   {"triplicate", "triplic"},
                                                                                   {"electrical", "electr"},
                                                                                   {"goodness", "good"},
                                                                                   {"revival", "reviv"},
                                                                                   {"replacement", "replac"},
                                                                                   {"adoption", "adopt"},
                                                                                   {"probate", "probat"},
                                                                                   {"rate", "rate"},
                                                                                   {"cease", "ceas"},
                                                                                   {"controll", "control"},
                                                                                   {"roll", "roll"},
                                                                                   {"dies", "die"},
                                                                                   {"flies", "fli"},
                                                                                   {"died", "die"},
                                                                                   {"spied", "spi"},
                                                                                   {"enjoy", "enjoy"},
                                                                                   {"fly", "fli"},
                                                                                   {"dying", "die"},
                                                                                   {"archaeology", "archaeolog"},
                                                                                   {"geology", "geolog"},
                                                                                   {"skies", "sky"},
                                                                                   {"by", "by"}})
    EXPECT_EQ(porter_stem(word), stem) << word;
}

}  // namespace
}  // namespace gaggle
