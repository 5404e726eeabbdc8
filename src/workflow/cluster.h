// gaggle cluster: groups of tasks or experts that are alike, and task files of several sources, so that gaggle experts
// trains one expert for each group.
#pragma once

#include <ATen/ATen.h>

#include <filesystem>
#include <string>
#include <vector>

#include "alignment/linkage.h"

namespace gaggle {

struct ClusterRequest {
  std::filesystem::path from;  // a run folder or a file of its alignment/, or a registry
  std::vector<std::string>
      names;             // tasks of the run; experts, a collection or an inventory of the registry; empty: all
  int64_t clusters = 0;  // 0: as the silhouette says
  std::vector<std::string> tasks;  // files and folders of the members' tasks; empty: those of the run's config
  std::filesystem::path out;       // a new folder for the task files; "": none are written
};

// What is put into groups.
struct Likeness {
  std::vector<std::string> names, tasks;  // of the members, and which task each is of
  at::Tensor similarity;                  // [N, N] fp64 cosines; NaN: it is not known
  std::string about;                      // "6 experts of demo/registry by … "
  std::vector<std::string> task_paths;    // where their tasks lie, if the source says so
};
// Throws UserError: nothing of the kind is there, and what would make it; a name that is not there; fewer than two members.
Likeness read_likeness(const ClusterRequest& request);

// Writes a NAME-N.toml for each cluster into the new folder `out`, NAME being the folder's, and reads them once: they can be
// trained on. Throws UserError, and leaves nothing: a member whose task is not among `task_paths`, examples that do not go
// together. Returns the tasks' names.
std::vector<std::string> write_cluster_tasks(const Likeness& likeness, const Clusters& clusters,
                                             const std::vector<std::string>& task_paths,
                                             const std::filesystem::path& out);

// The whole command; what it prints. Throws UserError.
Page cluster_page(const ClusterRequest& request);

}  // namespace gaggle
