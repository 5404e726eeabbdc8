#include "eval/left_out.h"

#include <algorithm>

#include "base/error.h"
#include "base/names.h"

namespace gaggle {
namespace {

constexpr const char* own = "own";                    // the expert of the task's name
constexpr const char* own_category = "own_category";  // all whose tasks are of the task's category
constexpr const char* of_category = "category:";      // and of this one

std::string category_of(const std::string& word, const ScoredTask& task) {
  if (word == own_category) return task.category;
  return word.starts_with(of_category) ? word.substr(std::string_view(of_category).size()) : "";
}

std::vector<std::string> known_categories(const RoutedCollection& collection) {
  std::vector<std::string> known = collection.categories;
  std::erase(known, "");
  std::ranges::sort(known);
  const auto again = std::ranges::unique(known);
  known.erase(again.begin(), again.end());
  return known;
}

}  // namespace

bool depends_on_task(const std::vector<std::string>& leave_out) {
  return std::ranges::any_of(leave_out, [](const std::string& word) { return word == own || word == own_category; });
}

void check_left_out(const std::vector<std::string>& leave_out, const RoutedCollection& collection) {
  const std::vector<std::string> known = known_categories(collection);
  for (const std::string& word : leave_out) {
    if (word == own) continue;
    const std::string category = category_of(word, {});
    if (word != own_category && category.empty()) {
      expert_number(word, collection);
      continue;
    }
    if (known.empty())
      user_error(
          "leave_out has {}, and none of the experts says of which category its task was: it is noted when an expert is "
          "trained on a task whose NAME.toml has a category",
          word);
    if (!category.empty() && !std::ranges::count(known, category))
      user_error("leave_out: no expert is of category {}{}; there are {}", category, did_you_mean(category, known),
                 join(known, ", "));
  }
}

std::string note_on_categories(const std::vector<std::string>& leave_out, const RoutedCollection& collection,
                               const std::vector<ScoredTask>& tasks) {
  if (!std::ranges::count(leave_out, own_category)) return "";
  std::vector<std::string> experts, scored;
  for (size_t z = 0; z < collection.categories.size(); ++z)
    if (collection.categories[z].empty()) experts.push_back(collection.names[z]);
  for (const ScoredTask& task : tasks)
    if (task.category.empty()) scored.push_back(task.name);
  std::vector<std::string> parts;
  if (!experts.empty()) parts.push_back("experts without a category take part everywhere: " + join(experts, ", "));
  if (!scored.empty()) parts.push_back("tasks without one leave nobody out: " + join(scored, ", "));
  return join(parts, "; ");
}

std::vector<char> left_out(const std::vector<std::string>& leave_out, const RoutedCollection& collection,
                           const ScoredTask& task) {
  std::vector<char> out(collection.names.size(), 0);
  for (const std::string& word : leave_out) {
    const std::string name = word == own ? task.name : word, category = category_of(word, task);
    for (size_t z = 0; z < out.size(); ++z)
      if (collection.names[z] == name || (!category.empty() && collection.categories.at(z) == category)) out[z] = 1;
  }
  return out;
}

}  // namespace gaggle
