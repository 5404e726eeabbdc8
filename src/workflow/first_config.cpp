#include "workflow/first_config.h"

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "base/names.h"
#include "base/shell_word.h"
#include "base/table.h"
#include "config/assign.h"
#include "config/schema.h"

namespace gaggle {
namespace {

// Where the config goes. Looked at before anything is read.
fs::path config_target(const FirstConfigRequest& request) {
  const fs::path target = request.out.empty() ? (request.folder / "gaggle.toml").lexically_normal() : request.out;
  if (fs::exists(target))
    user_error("{}: is there already, and is not written over; move it away, or name another file with --out",
               target.string());
  if (target.extension() != ".toml") user_error("--out {}: a config's name ends in .toml", target.string());
  check_writable(target.has_parent_path() ? target.parent_path() : fs::path("."),
                 request.out.empty() ? "FOLDER" : "--out");
  return target;
}

// Relative to the config where the path was given relative to the working folder.
std::string path_in_config(const std::string& path, const fs::path& target) {
  if (fs::path(path).is_absolute() || !fs::exists(path)) return toml_quoted(path);
  const auto relative = [&](const auto& whole) {
    return whole(fs::absolute(path)).lexically_relative(whole(fs::absolute(target)).parent_path());
  };
  const fs::path inside = relative([](const fs::path& any) { return any.lexically_normal(); });
  if (*inside.begin() != "..") return toml_quoted(inside.string());
  // The folder above a link is not the one above what it leads to.
  return toml_quoted(relative([](const fs::path& any) { return fs::weakly_canonical(any); }).string());
}

std::string paths_in_config(const std::vector<std::string>& paths, const fs::path& target) {
  std::vector<std::string> quoted;
  for (const std::string& path : paths) quoted.push_back(path_in_config(path, target));
  return "[" + join(quoted, ", ") + "]";
}

void choose_tasks(FirstConfig& first, const std::vector<SeenTask>& tasks, const std::vector<std::string>& places,
                  const fs::path& target) {
  std::vector<std::string> trained, names;
  for (const SeenTask& task : tasks) {
    if (task.rows[0] > 0)
      trained.push_back(task.path);
    else
      names.push_back(task.name);
  }
  if (trained.empty())
    user_error(
        "no task has rows to train on: all rows of {} are of the splits validation or test; give some \"split\": "
        "\"train\", or leave \"split\" out",
        join(names, ", "));
  const bool all = names.empty();
  first.config.data.tasks = all ? places : trained;
  first.keys.push_back({"data.tasks", paths_in_config(first.config.data.tasks, target),
                        fmt::format("{} with rows to train on: an expert for each",
                                    plural(static_cast<int64_t>(trained.size()), "task"))});
  if (all) return;
  first.config.eval.tasks = places;
  first.keys.push_back({"eval.tasks", paths_in_config(places, target),
                        fmt::format("scored besides, without rows to train on: {}", join(names, ", "))});
}

// What a folder's name leaves of itself as a name of ours.
std::string name_of_folder(const fs::path& folder) {
  std::string name = fs::weakly_canonical(fs::absolute(folder)).filename().string();
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '_' && c != '-' && c != '+') c = '-';
  return name.empty() ? "gaggle" : name.substr(0, 64);
}

// Beside the config, so that it means the same from everywhere.
void choose_places(FirstConfig& first, const fs::path& folder, const fs::path& target) {
  const std::string name = name_of_folder(folder);
  first.choose("run.name", toml_quoted(name), "the folder's name");
  first.config.run.dir = (target.parent_path() / "runs").string();
  first.keys.push_back({"run.dir", "\"runs\"", "beside this file: metrics and results"});
  first.config.registry.path = (target.parent_path() / "registry").string();
  first.keys.push_back({"registry.path", "\"registry\"", "beside this file: the experts"});
}

void choose_collection(FirstConfig& first, const ExpertsThere& there) {
  if (there.names.empty() || there.collected)
    first.choose("registry.collection", toml_quoted(first.config.run.name),
                 there.collected ? "the collection that is there" : "all of them together, to be routed");
  else
    first.choose("registry.collection", "\"\"",
                 fmt::format("all experts of the registry together: the {} that are there, and those trained besides",
                             there.names.size()));
}

std::string minutes_text(double seconds) {
  return seconds < 60 ? "(less than a minute)" : fmt::format("(about {})", time_text(seconds));
}

// Experts that are there are scored first.
std::string next_lines(const ExpertsThere& there, const std::string& typed, double training_s, double evaluation_s) {
  const std::string experts = fmt::format("gaggle experts {}   {}\n", typed, minutes_text(training_s)),
                    eval = fmt::format("gaggle eval {}      {}\n", typed, minutes_text(evaluation_s));
  if (there.names.empty()) return "next: " + experts + "then: " + eval;
  return fmt::format("the registry beside it holds {} already, {} of them with a gate\n",
                     plural(there.names.size(), "expert"), there.gated) +
         "next: " + eval + "then: " + experts;
}

// Of keys in the order of the schema.
std::string config_text(const FirstConfig& first, const fs::path& target) {
  std::string text = toml_comment(fmt::format(
      "Made by gaggle init, which says above each key why it is so. Every other key is at its default: gaggle experts {} "
      "--print-config prints them all, with their help.",
      target.filename().string()));
  std::string section;
  for (const ChosenKey& chosen : first.keys) {
    const Key& key = *find_key(chosen.key);
    if (key.section != section) text += fmt::format("\n[{}]\n", section = key.section);
    text += toml_comment(chosen.why) + fmt::format("{} = {}\n", key.name, chosen.value);
  }
  return text;
}

Table task_table(const std::vector<SeenTask>& tasks) {
  Table table({"task", "train", "validation", "test", "metric", "because"});
  for (const SeenTask& task : tasks)
    table.add({task.name, with_commas(task.rows[0]), with_commas(task.rows[1]), with_commas(task.rows[2]), task.metric,
               task.about_metric});
  return table;
}

Table key_table(const std::vector<ChosenKey>& keys) {
  Table table({"key", "value", "because"});
  for (const ChosenKey& chosen : keys) table.add({chosen.key, chosen.value, chosen.why});
  return table;
}

}  // namespace

void FirstConfig::choose(const std::string& key, const std::string& value, const std::string& why) {
  const std::string complaint = assign_text(*find_key(key), value, config);
  GAGGLE_CHECK(complaint.empty(), "{}", complaint);
  keys.push_back({key, value, why});
}

Page first_config_page(const FirstConfigRequest& request) {
  const fs::path target = config_target(request);
  FolderContents found;
  if (request.model.empty() || request.tasks.empty()) {
    if (!fs::is_directory(request.folder))
      user_error("{}: there is no such folder; name the one that holds your model and tasks", request.folder.string());
    found = contents_of(request.folder);
  }
  const std::vector<std::string> places = task_places(request, found);
  FirstConfig first;
  first.config.model.path = model_of(request, found);
  first.keys.push_back({"model.path", path_in_config(first.config.model.path, target),
                        request.model.empty() ? "the only model in the folder" : "as --model says"});
  const Inputs inputs = open_inputs(first.config);
  choose_prompt(first, *inputs.tokenizer);
  Config look = first.config;  // leaves nothing in the token cache
  look.registry.cache = "";
  look.data.max_input_tokens = look.data.max_target_tokens = 1 << 20;
  const std::vector<SeenTask> tasks = look_at_tasks(places, inputs, look);
  choose_tasks(first, tasks, places, target);
  choose_limits(first, tasks, inputs.checkpoint->spec());
  choose_places(first, request.folder, target);
  resolve_defaults(first.config);
  Session session = start_session(first.config, Purpose::look);
  if (session.identity.size > 1) user_error("gaggle init is one process: start it without mpirun");
  choose_machine(first, inputs, session);
  const auto base = load_base(first.config, inputs, session, BaseUse::training);
  const ExpertsThere there = experts_there(first);
  choose_collection(first, there);
  const auto [training_s, evaluation_s] = choose_training(first, tasks, there, session, *base);
  end_session(session);
  if (const auto complaints = cross_check(first.config); !complaints.empty())
    user_error("{}: {}", complaints[0].first, complaints[0].second);
  require_writable(target.has_parent_path() ? target.parent_path() : fs::path("."), "FOLDER");
  std::ranges::sort(first.keys, {}, [](const ChosenKey& chosen) { return find_key(chosen.key); });
  write_file_atomic(target, config_text(first, target));
  return Page(task_table(tasks)) + "\n" + key_table(first.keys) +
         fmt::format("\nwritten to {}; change in it what you know better\n", target.string()) +
         next_lines(there, shell_word(target.string()), training_s, evaluation_s);
}

}  // namespace gaggle
