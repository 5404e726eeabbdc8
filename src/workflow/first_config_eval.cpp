// What a first config evaluates: which methods, and how many examples within minutes.
#include <algorithm>

#include "base/names.h"
#include "job/cost.h"
#include "workflow/first_config.h"

namespace gaggle {
namespace {

constexpr double most_evaluation_s = 180;  // what "within minutes" means

// Seconds for so many examples of each task by `methods` methods, at the speed of training.
double expected_of_evaluation(const FirstConfig& first, const std::vector<SeenTask>& tasks, const BaseModel& base,
                              double flops_per_s, int64_t examples, double methods) {
  double flops = 0;
  for (const SeenTask& task : tasks) {
    const auto seen = task.tokens.examples(Split::test).size();
    if (seen == 0) continue;
    const auto scored = static_cast<double>(std::min(examples, task.rows[2]));
    flops += scored / static_cast<double>(seen) *
             scoring_flops(base, task.tokens, Split::test, 0, seen, first.config.eval,
                           first.config.train.tokens_per_microbatch);
  }
  return methods * flops / flops_per_s;
}

// Methods for the experts that will be there after training, or are there already, and why.
std::pair<std::vector<std::string>, std::string> suitable_methods(const std::vector<SeenTask>& tasks,
                                                                  const ExpertsThere& there) {
  std::set<std::string> trained;
  for (const SeenTask& task : tasks)
    if (task.rows[0] > 0) trained.insert(task.name);
  if (there.names.empty() && trained.size() == 1)
    return {{"none", "experts"}, "the base alone, and the one expert: there is nothing to route among yet"};
  if (there.names.empty())
    return {{"none", "merged", "arrow", "phatgoose", "oracle"},
            "the base alone, the experts' mean, two ways of routing, and the task's own expert"};
  std::vector<std::string> methods = {"none", "merged", "arrow"};
  if (there.gated > 0) methods.push_back("phatgoose");
  if (std::ranges::includes(there.names, trained)) methods.push_back("oracle");
  return {methods, there.gated > 0 ? "what the experts that are there can be routed by"
                                   : "what experts without gates can be routed by; phatgoose wants gaggle gates first"};
}

}  // namespace

double choose_evaluation(FirstConfig& first, const std::vector<SeenTask>& tasks, const ExpertsThere& there,
                         const BaseModel& base, double flops_per_s) {
  const auto [methods, why] = suitable_methods(tasks, there);
  std::vector<std::string> quoted;
  for (const std::string& method : methods) quoted.push_back(toml_quoted(method));
  first.choose("eval.methods", "[" + join(quoted, ", ") + "]", why);
  int64_t most = 0;
  for (const SeenTask& task : tasks) most = std::max(most, task.rows[2]);
  if (most == 0) first.choose("eval.split", toml_quoted("validation"), "no task has test rows");
  const auto count = static_cast<double>(methods.size());
  const double of_one = expected_of_evaluation(first, tasks, base, flops_per_s, 1, count);
  const auto affordable = static_cast<int64_t>(most_evaluation_s / std::max(1e-9, of_one));
  const int64_t limit = std::clamp<int64_t>(affordable, 8, 200);
  if (limit < most)
    first.choose("eval.limit_examples", std::to_string(limit),
                 "of each task, so that the table is there in minutes; 0: all");
  return expected_of_evaluation(first, tasks, base, flops_per_s, limit, count);
}

}  // namespace gaggle
