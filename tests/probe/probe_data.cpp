// probe tasks PATH…: name, metric, category, definition and number of examples of each task.
// probe prompt MODEL PROMPT [DEFINITION] < rows of messages, one JSON list a line: ids of each prompt, a JSON
// list a line.
#include <iostream>
#include <nlohmann/json.hpp>

#include "data/chat_template.h"
#include "data/sampler.h"
#include "data/task_mix.h"
#include "data/tokens.h"
#include "probe/probe.h"

namespace gaggle::probe {
namespace {

int run_prompt(const std::vector<std::string>& arguments) {
  const auto tokenizer = load_tokenizer(arguments.at(0));
  const Prompt prompt = prompt_for(arguments.at(1), *tokenizer, "PROMPT");
  if (const auto text = foreign_format_text(prompt, *tokenizer, "PROMPT"); !text.empty()) std::cerr << text << "\n";
  const std::string definition = arguments.size() > 2 ? arguments[2] : "";
  for (std::string line; std::getline(std::cin, line);) {
    std::vector<Message> messages;
    for (const auto& message : nlohmann::json::parse(line)) messages.push_back({message["role"], message["content"]});
    std::cout << nlohmann::json(prompt_ids(prompt, messages, definition, *tokenizer, "stdin").ids).dump() << "\n";
  }
  return 0;
}

int run_tasks(const std::vector<std::string>& arguments) {
  nlohmann::json result = nlohmann::json::array();
  for (const Task& task : load_tasks(arguments, 0))
    result.push_back({{"name", task.name},
                      {"metric", task.metric},
                      {"category", task.category},
                      {"definition", task.definition},
                      {"rows", task.splits[0].size() + task.splits[1].size() + task.splits[2].size()}});
  std::cout << result.dump() << "\n";
  return 0;
}

// order SEED TASK ROWS COUNT: which examples training takes first.
int run_order(const std::vector<std::string>& arguments) {
  ExampleSampler sampler(std::stoull(arguments.at(0)), arguments.at(1), std::stoll(arguments.at(2)));
  nlohmann::json order = nlohmann::json::array();
  for (int64_t i = 0; i < std::stoll(arguments.at(3)); ++i) order.push_back(sampler.example(i));
  std::cout << order.dump() << "\n";
  return 0;
}

// mix '{"seed", "sampling", "names", "rows", "draws"}': the first draws of several tasks, [[task, row], …].
int run_mix(const std::vector<std::string>& arguments) {
  const auto spec = nlohmann::json::parse(arguments.at(0));
  TaskMix mix(spec.at("seed"), spec.at("names"), spec.at("rows"), {spec.at("sampling")});
  nlohmann::json draws = nlohmann::json::array();
  for (int64_t i = 0; i < spec.at("draws").get<int64_t>(); ++i) {
    const Draw draw = mix.draw(i);
    draws.push_back({draw.task, draw.example});
  }
  std::cout << draws.dump() << "\n";
  return 0;
}

const Register mix("mix", run_mix);
const Register order("order", run_order);
const Register prompt("prompt", run_prompt);
const Register tasks("tasks", run_tasks);

}  // namespace
}  // namespace gaggle::probe
