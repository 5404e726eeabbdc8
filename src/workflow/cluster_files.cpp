// Clusters as tasks of several files.
#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/names.h"
#include "data/task.h"
#include "registry/outside.h"
#include "workflow/cluster.h"

namespace gaggle {
namespace {

const TaskFiles& files_of(const std::string& task, const std::vector<TaskFiles>& tasks) {
  const auto found = std::ranges::find(tasks, task, &TaskFiles::name);
  if (found != tasks.end()) return *found;
  std::vector<std::string> names;
  for (const TaskFiles& of : tasks) names.push_back(of.name);
  user_error("--tasks: no file of task {} ({})", task, known_names(task, names));
}

// What all of them say alike. What they do not is left out, and `part` says so.
std::string common(const std::string& cluster, const std::vector<const TaskFiles*>& tasks, std::string About::*part,
                   const char* name) {
  const std::string& first = tasks[0]->about.*part;
  if (std::ranges::all_of(tasks, [&](const TaskFiles* task) { return task->about.*part == first; })) return first;
  log::warning("{}: its tasks differ in {}, of which a task of several files has one: it is left out", cluster, name);
  return "";
}

About merged(const std::string& cluster, const std::vector<const TaskFiles*>& tasks) {
  About about;
  about.definition = common(cluster, tasks, &About::definition, "definition");
  about.prompt = common(cluster, tasks, &About::prompt, "prompt");
  if (about.definition.empty() && about.prompt.find("{definition}") != std::string::npos)
    user_error(
        "{}: its tasks share a prompt with {{definition}}, but not the definition: give them one prompt without it",
        cluster);
  about.metric = common(cluster, tasks, &About::metric, "metric");
  for (const TaskFiles* task : tasks)
    about.files.insert(about.files.end(), task->about.files.begin(), task->about.files.end());
  return about;
}

}  // namespace

std::vector<std::string> write_cluster_tasks(const Likeness& likeness, const Clusters& clusters,
                                             const std::vector<std::string>& task_paths, const fs::path& out) {
  if (task_paths.empty()) user_error("--out {}: say where the tasks lie, with --tasks", out.string());
  const std::vector<TaskFiles> tasks = find_tasks(task_paths);
  const fs::path target = named_folder(out);
  check_name(target.filename().string(), "--out: the folder names the tasks, and");
  std::vector<std::string> names;
  make_new_folder(out, "--out", [&](const fs::path& beside) {
    const size_t digits = std::to_string(clusters.size()).size();
    for (size_t c = 0; c < clusters.size(); ++c) {
      names.push_back(fmt::format("{}-{:0{}}", target.filename().string(), c + 1, digits));
      std::vector<const TaskFiles*> members;
      std::set<std::string> seen;  // two experts may be of one task
      for (const int member : clusters[c])
        if (const std::string& task = likeness.tasks[static_cast<size_t>(member)]; seen.insert(task).second)
          members.push_back(&files_of(task, tasks));
      write_file_durable(beside / (names.back() + ".toml"), about_text(merged(names.back(), members), target));
    }
    load_tasks({beside.string()}, 0);  // paths lead from there to the same files
  });
  return names;
}

}  // namespace gaggle
