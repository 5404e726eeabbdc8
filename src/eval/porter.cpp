#include "eval/porter.h"

#include <algorithm>
#include <array>
#include <map>
#include <string_view>
#include <vector>

namespace gaggle {
namespace {

// Of every letter. A y is a consonant where what stands before it is none; digits are consonants.
std::vector<bool> consonants(std::string_view word) {
  std::vector<bool> is;
  for (size_t i = 0; i < word.size(); ++i) {
    const bool vowel = std::string_view("aeiou").find(word[i]) != std::string_view::npos;
    is.push_back(!vowel && (word[i] != 'y' || i == 0 || !is[i - 1]));
  }
  return is;
}

// m of [C](VC)^m[V]: how often a vowel is followed by a consonant.
int measure(std::string_view stem) {
  const std::vector<bool> is = consonants(stem);
  int m = 0;
  for (size_t i = 1; i < is.size(); ++i) m += is[i] && !is[i - 1];
  return m;
}

bool has_vowel(std::string_view stem) { return std::ranges::count(consonants(stem), false) > 0; }

bool ends_in_double_consonant(std::string_view word) {
  return word.size() >= 2 && word.back() == word[word.size() - 2] && consonants(word).back();
}

// *o of the paper: consonant, vowel, consonant, the last none of w, x and y. NLTK: or nothing but vowel and consonant.
bool ends_in_short_syllable(std::string_view word) {
  const std::vector<bool> is = consonants(word);
  const size_t n = is.size();
  if (n == 2) return !is[0] && is[1];
  return n >= 3 && is[n - 3] && !is[n - 2] && is[n - 1] &&
         std::string_view("wxy").find(word.back()) == std::string_view::npos;
}

struct Rule {
  std::string_view suffix, with;
};

// The first rule whose suffix the word has is the only one that counts; it asks for m > `above` of what stands before.
template <size_t n>
std::string by_rules(std::string word, const std::array<Rule, n>& rules, int above) {
  for (const auto& [suffix, with] : rules) {
    if (!word.ends_with(suffix)) continue;
    const std::string_view stem = std::string_view(word).substr(0, word.size() - suffix.size());
    // The l of "logi" counts as the stem's, so that geo- and theo- are stems too (NLTK).
    const std::string_view measured = suffix == "logi" ? std::string_view(word).substr(0, stem.size() + 1) : stem;
    const bool allowed = suffix != "ion" || stem.ends_with('s') || stem.ends_with('t');
    return allowed && measure(measured) > above ? std::string(stem).append(with) : word;
  }
  return word;
}

std::string without_plural(std::string word) {
  if (word.size() == 4 && word.ends_with("ies")) return word.substr(0, 3);  // NLTK: dies, not flies
  static constexpr std::array<Rule, 4> rules = {{{"sses", "ss"}, {"ies", "i"}, {"ss", "ss"}, {"s", ""}}};
  return by_rules(std::move(word), rules, -1);
}

// What is left of a word without -ed or -ing, made a word again.
std::string mended(std::string stem) {
  for (const std::string_view end : {"at", "bl", "iz"})
    if (stem.ends_with(end)) return stem + "e";
  if (ends_in_double_consonant(stem)) {
    if (std::string_view("lsz").find(stem.back()) == std::string_view::npos) stem.pop_back();
    return stem;
  }
  return measure(stem) == 1 && ends_in_short_syllable(stem) ? stem + "e" : stem;
}

std::string without_past(std::string word) {
  if (word.ends_with("ied")) return word.substr(0, word.size() - (word.size() == 4 ? 1 : 2));  // NLTK: died, spied
  if (word.ends_with("eed")) {
    if (measure(std::string_view(word).substr(0, word.size() - 3)) > 0) word.pop_back();
    return word;
  }
  for (const std::string_view end : {"ed", "ing"})
    if (word.ends_with(end))
      if (std::string stem = word.substr(0, word.size() - end.size()); has_vowel(stem)) return mended(std::move(stem));
  return word;
}

// NLTK: behind a consonant that is not the first letter; the paper: behind a stem with a vowel.
std::string y_to_i(std::string word) {
  if (word.size() > 2 && word.back() == 'y' && consonants(word)[word.size() - 2]) word.back() = 'i';
  return word;
}

std::string without_double_suffix(std::string word) {
  static constexpr std::array<Rule, 22> rules = {
      {{"ational", "ate"}, {"tional", "tion"}, {"enci", "ence"}, {"anci", "ance"}, {"izer", "ize"},
       {"bli", "ble"},     {"alli", "al"},     {"entli", "ent"}, {"eli", "e"},     {"ousli", "ous"},
       {"ization", "ize"}, {"ation", "ate"},   {"ator", "ate"},  {"alism", "al"},  {"iveness", "ive"},
       {"fulness", "ful"}, {"ousness", "ous"}, {"aliti", "al"},  {"iviti", "ive"}, {"biliti", "ble"},
       {"fulli", "ful"},   {"logi", "log"}}};
  const bool alli = word.ends_with("alli");
  const size_t before = word.size();
  word = by_rules(std::move(word), rules, 0);
  return alli && word.size() < before ? without_double_suffix(std::move(word)) : word;  // NLTK: once more
}

std::string without_suffix(std::string word) {
  static constexpr std::array<Rule, 7> rules = {
      {{"icate", "ic"}, {"ative", ""}, {"alize", "al"}, {"iciti", "ic"}, {"ical", "ic"}, {"ful", ""}, {"ness", ""}}};
  return by_rules(std::move(word), rules, 0);
}

std::string without_last_suffix(std::string word) {
  static constexpr std::array<Rule, 19> rules = {{{"al", ""},
                                                  {"ance", ""},
                                                  {"ence", ""},
                                                  {"er", ""},
                                                  {"ic", ""},
                                                  {"able", ""},
                                                  {"ible", ""},
                                                  {"ant", ""},
                                                  {"ement", ""},
                                                  {"ment", ""},
                                                  {"ent", ""},
                                                  {"ion", ""},
                                                  {"ou", ""},
                                                  {"ism", ""},
                                                  {"ate", ""},
                                                  {"iti", ""},
                                                  {"ous", ""},
                                                  {"ive", ""},
                                                  {"ize", ""}}};
  return by_rules(std::move(word), rules, 1);
}

std::string tidied(std::string word) {
  if (word.ends_with('e')) {
    const std::string stem = word.substr(0, word.size() - 1);
    const int m = measure(stem);
    if (m > 1 || (m == 1 && !ends_in_short_syllable(stem))) word = stem;
  }
  if (word.ends_with("ll") && measure(std::string_view(word).substr(0, word.size() - 1)) > 1) word.pop_back();
  return word;
}

}  // namespace

std::string porter_stem(std::string word) {
  static const std::map<std::string, std::string> irregular = {
      {"skies", "sky"},        {"dying", "die"},       {"lying", "lie"},      {"tying", "tie"},
      {"innings", "inning"},   {"inning", "inning"},   {"outings", "outing"}, {"outing", "outing"},
      {"cannings", "canning"}, {"canning", "canning"}, {"howe", "howe"},      {"proceed", "proceed"},
      {"exceed", "exceed"},    {"succeed", "succeed"}, {"news", "news"},      {"sky", "sky"}};
  if (const auto found = irregular.find(word); found != irregular.end()) return found->second;
  if (word.size() <= 2) return word;
  word = without_past(without_plural(std::move(word)));
  word = without_double_suffix(y_to_i(std::move(word)));
  return tidied(without_last_suffix(without_suffix(std::move(word))));
}

}  // namespace gaggle
