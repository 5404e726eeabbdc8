#include "data/shots.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/philox.h"

namespace gaggle {
namespace {

// What an example asks, as one text.
std::string asked(const Example& example) {
  std::string text;
  for (const Message& message : example.messages)
    text += fmt::format("{} {}:{}", message.role, message.content.size(), message.content);
  return text;
}

// One of each example that is there several times, as files of a weight have them.
std::vector<Example> distinct(const std::vector<Example>& examples) {
  std::vector<Example> pool;
  std::set<std::string> seen;
  for (const Example& example : examples)
    if (seen.insert(asked(example) + example.output).second) pool.push_back(example);
  return pool;
}

}  // namespace

void give_shots(Task& task, const ShotOptions& options) {
  if (options.count == 0) return;
  task.shot_pool = distinct(task.examples(options.from));
  std::vector<uint64_t> of_pool, of_question;  // numbers that stand for what they say
  for (const Example& shot : task.shot_pool) {
    of_pool.push_back(name_number(asked(shot) + shot.output));
    of_question.push_back(name_number(asked(shot)));
  }
  const uint64_t name = name_number(task.name);
  for (Example& example : task.splits[static_cast<size_t>(options.of)]) {
    const uint64_t question = name_number(asked(example));
    const uint64_t key = random_key("shots", {options.seed, name, question});
    std::vector<std::pair<uint64_t, size_t>> drawn;
    for (size_t i = 0; i < task.shot_pool.size(); ++i)
      if (of_question[i] != question) drawn.emplace_back(random_bits(key, of_pool[i]), i);
    const auto count = static_cast<size_t>(options.count);
    if (drawn.size() < count)
      user_error("task {}, example {}: eval.shots = {}, but split {} has only {} other examples", task.name, example.id,
                 options.count, split_names[static_cast<size_t>(options.from)], drawn.size());
    std::partial_sort(drawn.begin(), drawn.begin() + static_cast<ptrdiff_t>(count), drawn.end());
    example.shots.clear();
    for (size_t i = 0; i < count; ++i) example.shots.push_back(drawn[i].second);
  }
}

}  // namespace gaggle
