// gaggle init: a config to begin with, made of what a model, its tasks and this machine say, each key with its reason.
#pragma once

#include <array>
#include <filesystem>
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
// All tasks there, by name, under [data]'s rules.
std::vector<SeenTask> look_at_tasks(const std::vector<std::string>& places, const Inputs& inputs, const Config& config);
// data.prompt and data.end, by the model's own chat template.
void choose_prompt(FirstConfig& first, const Tokenizer& tokenizer);
// data.max_input_tokens and max_target_tokens, by the rows' lengths.
void choose_limits(FirstConfig& first, const std::vector<SeenTask>& tasks, const ModelSpec& spec);
// model.storage, where the base does not fit otherwise; says of device and dtype what they come to.
void choose_machine(FirstConfig& first, const Inputs& inputs, const Session& session);
// lora, train and gate, by numbers of rows; and steps and eval.limit_examples so that both jobs end within minutes, by short
// steps on this machine. Returns the seconds that training and evaluation are expected to take.
std::array<double, 2> choose_training(FirstConfig& first, const std::vector<SeenTask>& tasks, Session& session,
                                      BaseModel& base);

}  // namespace gaggle
