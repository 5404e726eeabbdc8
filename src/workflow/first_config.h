// gaggle init: a config to begin with, made of what a model, its tasks and this machine say, each key with its reason.
#pragma once

#include <array>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "base/page.h"
#include "job/start.h"
#include "workflow/folder_contents.h"

namespace gaggle {

struct FirstConfigRequest {
  std::filesystem::path folder = ".";  // looked through, and where the config is written
  std::string model;                   // folder, .gguf file or hub name; "": the one in the folder
  std::vector<std::string> tasks;      // files or folders; empty: those in the folder
  std::filesystem::path out;           // "": gaggle.toml in the folder
};
// The whole command: writes the config and returns what is printed. Throws UserError, and writes nothing, where something is
// missing or cannot be read, and where the file is there already.
Page first_config_page(const FirstConfigRequest& request);

// Parts of it. A key of the config, its value as TOML, and why.
struct ChosenKey {
  std::string key, value, why;
};
struct FirstConfig {
  Config config;
  std::vector<ChosenKey> keys = {};
  void choose(const std::string& key, const std::string& value, const std::string& why);
};

// A task as it was found: what all its rows say, and the first rows of each split as tokens.
struct SeenTask {
  std::string name, path, metric;
  std::string about_metric;                 // why that metric, and what would suit it better
  std::array<int64_t, 3> rows = {0, 0, 0};  // by split
  TokenTask tokens = {};
};

// Where the base model is, as the request says or else in the folder. Throws UserError where there is none, or several.
std::string model_of(const FirstConfigRequest& request, const FolderContents& found);
// The same of the tasks. What tools/tasks.py could make tasks of is named with the line that does.
std::vector<std::string> task_places(const FirstConfigRequest& request, const FolderContents& found);
// Experts that are served by the registry beside the config; none where there is no registry yet.
struct ExpertsThere {
  std::set<std::string> names = {};
  size_t gated = 0;
  bool collected = false;  // in a collection that has the run's name
};
ExpertsThere experts_there(const FirstConfig& first);
// All tasks there, by name, under [data]'s rules.
std::vector<SeenTask> look_at_tasks(const std::vector<std::string>& places, const Inputs& inputs, const Config& config);
// data.prompt and data.end, by the model's own chat template.
void choose_prompt(FirstConfig& first, const Tokenizer& tokenizer);
// data.max_input_tokens and max_target_tokens, by the rows' lengths.
void choose_limits(FirstConfig& first, const std::vector<SeenTask>& tasks, const ModelSpec& spec);
// model.storage, where the base does not fit otherwise; says of device and dtype what they come to.
void choose_machine(FirstConfig& first, const Inputs& inputs, const Session& session);
// lora, train and gate, by numbers of rows; steps so that training ends within minutes, by short steps on this machine; and
// what evaluation takes. Returns the seconds that training and evaluation are expected to take.
std::array<double, 2> choose_training(FirstConfig& first, const std::vector<SeenTask>& tasks, const ExpertsThere& there,
                                      Session& session, BaseModel& base);

// eval.methods, split and limit_examples; at the speed of training, in FLOP per second. Returns the seconds expected.
double choose_evaluation(FirstConfig& first, const std::vector<SeenTask>& tasks, const ExpertsThere& there,
                         const BaseModel& base, double flops_per_s);

}  // namespace gaggle
