// Experts that take no part: eval.leave_out's words, by expert, by category of task, and by the task that is scored.
#pragma once

#include <string>
#include <vector>

#include "eval/method.h"

namespace gaggle {

// Whether it says something else for each task that is scored.
bool depends_on_task(const std::vector<std::string>& leave_out);

// Throws UserError, with the nearest name, for a word that is no expert of the collection and no category of one, and for
// categories of experts that say none.
void check_left_out(const std::vector<std::string>& leave_out, const RoutedCollection& collection);

// What is not known of categories that "own_category" asks for; "": nothing, or nobody asks.
std::string note_on_categories(const std::vector<std::string>& leave_out, const RoutedCollection& collection,
                               const std::vector<ScoredTask>& tasks);

// Experts that take no part when `task` is scored, [N].
std::vector<char> left_out(const std::vector<std::string>& leave_out, const RoutedCollection& collection,
                           const ScoredTask& task);

}  // namespace gaggle
