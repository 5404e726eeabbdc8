// Tasks that never met: cosines of gradients at a common start from the sketches that independent experts send,
// with their error; and how a T×T matrix is shown.
#pragma once

#include <ATen/ATen.h>

#include <string>
#include <vector>

#include "base/page.h"

namespace gaggle {

struct TaskSimilarity {
  std::vector<std::string> tasks;
  at::Tensor cosine;  // [T, T] fp64; NaN: a gradient of zero
  at::Tensor error;   // [T, T] fp64, standard error of the cosine: sqrt((1 + cos²) / dims) at most
  int64_t dims = 0;
};
// sketches [T, dims] of one plan (Slots::one). At the start B = 0, so dA is 0: sketches are of dB.
TaskSimilarity task_similarity(std::vector<std::string> tasks, const at::Tensor& sketches);

// "+0.123" with three digits; "-": NaN.
std::string cosine_cell(double value, int digits);

// The tasks in linkage order with their cosines in two digits, below a caption that names `what` they are of ("tasks'
// gradients"): names in the first column, their numbers in that order above. More than 16 tasks do not fit a terminal: their
// order alone, in one line.
Page matrix_page(const std::string& what, const std::vector<std::string>& tasks, const at::Tensor& cosine);

// The `count` pairs with the highest and with the lowest cosine, one table: pair, cosine, and `beside` (a
// column of the given name) unless it is undefined. Of the lowest those below 0 are called conflicting.
Table pairs_table(const std::vector<std::string>& tasks, const at::Tensor& cosine, const at::Tensor& beside,
                  const std::string& beside_name, int64_t count);

Page similarity_page(const TaskSimilarity& similarity, int64_t pairs);

}  // namespace gaggle
