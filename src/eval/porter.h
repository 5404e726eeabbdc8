// Porter's stemmer: M. F. Porter, "An algorithm for suffix stripping", Program 14(3), 1980, with the amendments of its
// author (bli, logi) and those of NLTK (nltk.stem.porter, NLTK_EXTENSIONS), by which the package rouge-score stems. Snowball's
// two English stemmers (libstemmer) give other stems for more than one word in a hundred.
#pragma once

#include <string>

namespace gaggle {

// `word`: lower-case letters and digits of ASCII.
std::string porter_stem(std::string word);

}  // namespace gaggle
