// How like a generated text is to its target: a share between 0 and 1. Both may be ill-formed UTF-8 (an output may end
// inside a character); every ill-formed part counts as U+FFFD.
#pragma once

#include <string>
#include <string_view>

namespace gaggle {

// 1 where they are equal, white space of ASCII at both ends aside; else 0.
double exact_match(std::string_view prediction, std::string_view target);

// Token F1 of SQuAD (Rajpurkar et al., arXiv 1806.03822, evaluate-v2.0.py): of the bags of words that are left in lower
// case without ASCII punctuation and the articles a, an, the. Where either has no word: whether both have none.
double token_f1(std::string_view prediction, std::string_view target);

// F-measure of ROUGE-L (Lin, "ROUGE", 2004) as the package rouge-score 0.1.2 has it: of the longest common subsequence of
// words [a-z0-9]+ in lower case; with `stem` words of more than three letters by their stems (porter.h). 0 where either
// has no word.
double rouge_l(std::string_view prediction, std::string_view target, bool stem);

// By a metric of is_of_generated (data/task.h).
double text_score(const std::string& metric, std::string_view prediction, std::string_view target, bool stem);

}  // namespace gaggle
