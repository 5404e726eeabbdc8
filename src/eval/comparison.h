// Two ways of answering on the same rows: the difference of each mean with its interval, by row and not by mean.
#pragma once

#include <string>
#include <vector>

#include "base/page.h"
#include "eval/intervals.h"
#include "eval/scored_rows.h"

namespace gaggle {

// One task's rows that both have. `apart`: B less A.
struct TaskComparison {
  std::string task = "", group = "";  // "held-in", "held-out"; "held-in for B alone"
  bool counted = false;               // scores are right or wrong
  RowSums nll_a = {}, nll_b = {}, nll_apart = {};
  RowSums score_a = {}, score_b = {}, score_apart = {};
  int64_t only_a_right = 0, only_b_right = 0;
  int64_t without_partner = 0;  // rows of one of them alone
  ConfidenceInterval nll_interval() const { return interval_of(nll_apart); }
  ConfidenceInterval score_interval() const;
};

struct MethodComparison {
  std::string name;  // of the line: the method that both have, or that of B
  std::vector<TaskComparison> tasks;
};

struct Comparison {
  std::string a, b;                // what they are, for people
  std::vector<std::string> notes;  // what they do not share
  std::vector<MethodComparison> methods;
};

// Each method that both have. Throws UserError: they have no method, or no row, in common.
Comparison compare(const ScoredEvaluation& a, const ScoredEvaluation& b);
// Each method of one evaluation (B) beside `against` (A). Throws UserError: it has no such method, or no other.
Comparison compare_methods(const ScoredEvaluation& of, const std::string& against);

// Tables of held-in and held-out tasks, a line for each method; `by_task`: and of each method a line for each task.
Page comparison_page(const Comparison& comparison, bool by_task);

}  // namespace gaggle
