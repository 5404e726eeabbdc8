// What an evaluation left behind, read back row by row: results.json with its predictions.jsonl.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace gaggle {

struct ScoredRow {
  double nll = 0, tokens = 0;   // of the target; NaN where the score is not finite
  std::optional<double> score;  // from 0 to 1; none where nothing was predicted
};

struct TaskOfEvaluation {
  std::string metric;
  bool held_in = false;
};

struct ScoredEvaluation {
  std::filesystem::path file;                 // its results.json
  std::string of, base, base_content;         // "all@v0001", "smollm2" and its digest; "" where it does not say
  std::vector<std::string> methods, experts;  // in the order of its tables
  std::map<std::string, TaskOfEvaluation> tasks;
  // By method and task the rows by their ids; of two rows of one id the first has the id, the second the id and " 2".
  std::map<std::pair<std::string, std::string>, std::map<std::string, ScoredRow>> rows;
};

// `path`: results.json, or any file results-….json beside others, or the folder that holds one, or the run's folder above
// it. Throws UserError: there is none, there are several (it names them), or one is not as this program writes it.
ScoredEvaluation read_evaluation(const std::filesystem::path& path);

}  // namespace gaggle
