// probe text_scores: pairs [prediction, target] as JSON lists on stdin → [exact match, F1, ROUGE-L, ROUGE-L of stems], a list
//   a line.
// probe porter: words on stdin → their stems.
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "eval/porter.h"
#include "eval/text_scores.h"
#include "probe/probe.h"

namespace gaggle::probe {
namespace {

int text_scores(const std::vector<std::string>&) {
  for (std::string line; std::getline(std::cin, line);) {
    const auto [prediction, target] = nlohmann::json::parse(line).get<std::pair<std::string, std::string>>();
    std::cout << nlohmann::json{exact_match(prediction, target), token_f1(prediction, target),
                                rouge_l(prediction, target, false), rouge_l(prediction, target, true)}
                     .dump()
              << '\n';
  }
  return 0;
}

int stems(const std::vector<std::string>&) {
  for (std::string word; std::getline(std::cin, word);) std::cout << porter_stem(word) << '\n';
  return 0;
}

const Register scores("text_scores", text_scores);
const Register words("porter", stems);

}  // namespace
}  // namespace gaggle::probe
