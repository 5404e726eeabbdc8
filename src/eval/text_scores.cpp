#include "eval/text_scores.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <utility>
#include <vector>

#include "base/error.h"
#include "eval/porter.h"
#include "text/unicode.h"

namespace gaggle {
namespace {

std::string_view stripped(std::string_view text) {
  const char* space = " \t\r\n\f\v";
  const auto begin = text.find_first_not_of(space);
  return begin == std::string_view::npos ? "" : text.substr(begin, text.find_last_not_of(space) - begin + 1);
}

using Words = std::vector<std::string>;

// Python's str.split() takes four separators of ASCII beside Unicode's White_Space.
bool parts_words(char32_t c) { return is_white_space(c) || (c >= 0x1C && c <= 0x1F); }

// Punctuation is gone before articles are looked for: "the-cat" is one word, thecat. An article is a run of letters and
// numbers between other characters, and becomes a space: "…a…b" is "…" and "…b".
Words squad_words(std::string_view given) {
  std::string text = lower_case(valid_utf8(given));
  std::erase_if(
      text, [](char c) { return std::ispunct(static_cast<unsigned char>(c)) && static_cast<unsigned char>(c) < 0x80; });
  Words words;
  std::string word, run;
  const auto end_run = [&] {
    const bool article = run == "a" || run == "an" || run == "the";
    if (!article) word += run;
    if (article && !word.empty()) words.push_back(std::exchange(word, ""));
    run.clear();
  };
  const auto end_word = [&] {
    end_run();
    if (!word.empty()) words.push_back(std::exchange(word, ""));
  };
  for (size_t at = 0; at < text.size();) {
    const char32_t c = next_char(text, at);
    if (parts_words(c)) {
      end_word();
    } else if (is_alphanumeric(c)) {
      append_char(run, c);
    } else {
      end_run();
      append_char(word, c);
    }
  }
  end_word();
  return words;
}

Words rouge_words(std::string_view given, bool stem) {
  Words words;
  std::string word;
  const auto end_word = [&] {
    if (!word.empty()) words.push_back(stem && word.size() > 3 ? porter_stem(word) : word);
    word.clear();
  };
  for (const char c : lower_case(valid_utf8(given)))
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
      word += c;
    else
      end_word();
  end_word();
  return words;
}

// Of the words that both have, as often as both have them.
size_t common_words(const Words& a, const Words& b) {
  std::map<std::string_view, size_t> left;
  for (const std::string& word : a) ++left[word];
  size_t common = 0;
  for (const std::string& word : b)
    if (const auto found = left.find(word); found != left.end() && found->second > 0) {
      --found->second;
      ++common;
    }
  return common;
}

size_t longest_common_subsequence(const Words& a, const Words& b) {
  std::vector<size_t> row(b.size() + 1);  // of the words of a so far, and the first j of b
  for (const std::string& word : a) {
    size_t diagonal = 0;
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t above = row[j + 1];
      row[j + 1] = word == b[j] ? diagonal + 1 : std::max(above, row[j]);
      diagonal = above;
    }
  }
  return row.back();
}

double f_measure(size_t common, const Words& prediction, const Words& target) {
  if (common == 0) return 0;
  const double precision = static_cast<double>(common) / static_cast<double>(prediction.size());
  const double recall = static_cast<double>(common) / static_cast<double>(target.size());
  return 2 * precision * recall / (precision + recall);
}

}  // namespace

double exact_match(std::string_view prediction, std::string_view target) {
  return stripped(prediction) == stripped(target) ? 1 : 0;
}

double token_f1(std::string_view prediction, std::string_view target) {
  const Words said = squad_words(prediction), wanted = squad_words(target);
  if (said.empty() || wanted.empty()) return said.empty() && wanted.empty() ? 1 : 0;
  return f_measure(common_words(said, wanted), said, wanted);
}

double rouge_l(std::string_view prediction, std::string_view target, bool stem) {
  const Words said = rouge_words(prediction, stem), wanted = rouge_words(target, stem);
  return f_measure(longest_common_subsequence(wanted, said), said, wanted);
}

double text_score(const std::string& metric, std::string_view prediction, std::string_view target, bool stem) {
  if (metric == "f1") return token_f1(prediction, target);
  if (metric == "rouge_l") return rouge_l(prediction, target, stem);
  GAGGLE_CHECK(metric == "exact_match", "no text is scored by {}", metric);
  return exact_match(prediction, target);
}

}  // namespace gaggle
