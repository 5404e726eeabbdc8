// How alike tasks or experts are: by gradients that a run has measured, by an expert's weights, by routing rows.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "alignment/expert_sketch.h"
#include "alignment/record.h"
#include "alignment/routing_table.h"
#include "alignment/statistics.h"
#include "base/error.h"
#include "base/file.h"
#include "base/long_phase.h"
#include "base/names.h"
#include "base/table.h"
#include "config/read.h"
#include "library/expert_products.h"
#include "registry/pins.h"
#include "registry/sums.h"
#include "registry/version_files.h"
#include "workflow/cluster.h"

namespace gaggle {
namespace {

constexpr const char* sketches_file = "experts.safetensors";
constexpr const char* windows_file = "alignment.safetensors";

// The one measurement of a run folder, of its alignment/ or of a file there.
fs::path measured_file(const fs::path& from) {
  if (fs::is_regular_file(from)) return from;
  std::vector<fs::path> found;
  for (const fs::path& folder : {from, from / "alignment"})
    for (const char* name : {sketches_file, windows_file})
      if (fs::exists(folder / name)) found.push_back(folder / name);
  if (found.empty())
    user_error(
        "{}: neither a registry (registry.json) nor a run with gradients that were compared: gaggle experts leaves "
        "alignment/{}, where alignment.examples is not 0, and gaggle pretrain with alignment.every = N alignment/{}",
        from.string(), sketches_file, windows_file);
  if (found.size() > 1)
    user_error("{}: {} and {} are there; name the file that is meant", from.string(), found[0].string(),
               found[1].string());
  return found[0];
}

// data.tasks of the run in whose alignment/ a file lies, at most one folder deeper.
std::vector<std::string> tasks_of_run(const fs::path& file) {
  fs::path folder = fs::absolute(file).lexically_normal().parent_path();
  if (folder.filename() != "alignment") folder = folder.parent_path();
  const fs::path config = folder.parent_path() / "config.toml";
  if (folder.filename() != "alignment" || !fs::exists(config)) return {};
  return read_config(config, {}).data.tasks;
}

Likeness of_gradients(const fs::path& from) {
  const fs::path file = measured_file(from);
  Likeness likeness;
  std::string how = "at the experts' common start";
  if (file.filename() == windows_file) {
    const AlignmentWindows windows = read_windows(file.parent_path());
    if (windows.running.empty()) user_error("{}: nothing was measured yet", file.string());
    const GradientSpace space =
        windows.running.contains(GradientSpace::skill) ? GradientSpace::skill : GradientSpace::mixed;
    const WindowMatrices matrices = newest_matrices(windows, space);
    likeness.names = windows.tasks;
    likeness.similarity = matrices.cosine;
    how = fmt::format("in {} space, {} up to step {}", name_of(space), plural(matrices.measurements, "measurement"),
                      matrices.last_step);
  } else {
    TaskSimilarity similarity = read_similarity(file);
    likeness.names = std::move(similarity.tasks);
    likeness.similarity = similarity.cosine;
  }
  const auto count = static_cast<int64_t>(likeness.names.size());
  if (!likeness.similarity.defined() || likeness.similarity.sizes() != at::IntArrayRef{count, count})
    user_error("{}: {} tasks, but no matrix of {} × {}", file.string(), count, count, count);
  likeness.tasks = likeness.names;
  likeness.about =
      fmt::format("tasks of {} by the cosines of their gradients {}", file.lexically_normal().string(), how);
  likeness.task_paths = tasks_of_run(file);
  return likeness;
}

Likeness of_weights(const Registry& registry, const std::vector<Version>& experts, const std::string& what) {
  Likeness likeness;
  std::vector<PeftAdapter> loras;
  LongPhase phase("reading " + plural(experts.size(), "expert"), static_cast<double>(experts.size()));
  for (const Version& expert : experts) {
    phase.add(loras.empty() ? 0 : 1);
    if (const auto wrong = check_listed(expert.folder); !wrong.empty())
      user_error("{} {}: {}", expert.pin(), registry.folder().string(), wrong[0]);
    loras.push_back(read_adapter(expert));
    require_finite(loras.back());
    const std::string task = text_at(read_sidecar(expert), "task");
    likeness.names.push_back(expert.name);
    likeness.tasks.push_back(task.empty() ? expert.name : task);
  }
  likeness.similarity = cosines(expert_products(loras, likeness.names));
  likeness.about = fmt::format("experts of {} by the cosines of scale · B A over all sites", what);
  return likeness;
}

Likeness of_routing(const Version& inventory) {
  const PeftAdapter skills = read_adapter(inventory);
  require_finite(skills);
  if (skills.tasks < 2 || skills.skills < 2)
    user_error("{}: {} and {}: there are no routing rows to tell tasks apart by", inventory.folder.string(),
               plural(skills.tasks, "task"), plural(skills.skills, "skill"));
  std::vector<RoutingSite> sites;
  for (const PeftSite& site : skills.sites) {
    const PeftTensor& logits = site.tensors.back();
    sites.push_back({site.site, "", skills.heads, skills.skills,
                     at::tensor(logits.values, at::kFloat).view({skills.tasks, skills.heads * skills.skills})});
  }
  Likeness likeness;
  likeness.names = likeness.tasks = tasks_of(inventory);
  likeness.similarity = routing_similarity(sites);
  likeness.about = fmt::format("tasks of inventory {} by the cosines of their routing weights, the mean row taken off",
                               inventory.pin());
  return likeness;
}

// All experts; those that are named; those of the one collection, or the rows of the one inventory, that is.
Likeness likeness_in(const fs::path& folder, const std::vector<std::string>& names) {
  const Registry registry = Registry::open(folder, std::nullopt, /*create=*/false);
  const std::string where = folder.lexically_normal().string();
  std::vector<Version> experts;
  const auto given = names.empty() ? experts_to_collect(registry) : names;
  for (const std::string& name : given) {
    const Version found = names.empty() ? registry.load(Kind::expert, name)
                                        : registry.locate(name, {Kind::expert, Kind::inventory, Kind::collection});
    if (found.kind == Kind::expert) {
      experts.push_back(found);
      continue;
    }
    if (names.size() > 1)
      user_error("{}: {} stands alone; name experts, or one collection or inventory", name, words_of(found.kind).one);
    if (found.kind == Kind::inventory) return of_routing(found);
    for (const PinnedExpert& pinned : read_pins(found)) experts.push_back(pinned_expert(registry, found, pinned));
    return of_weights(registry, experts, fmt::format("collection {} of {}", found.pin(), where));
  }
  return of_weights(registry, experts, where);
}

// Tasks of a run that are named, in the order of the measurement.
Likeness chosen_of(Likeness all, const std::vector<std::string>& names) {
  if (names.empty()) return all;
  std::vector<int64_t> chosen;
  for (const std::string& name : names) {
    const auto found = std::ranges::find(all.names, name);
    if (found == all.names.end()) user_error("{}: no such task was compared ({})", name, known_names(name, all.names));
    chosen.push_back(found - all.names.begin());
  }
  std::ranges::sort(chosen);
  chosen.erase(std::ranges::unique(chosen).begin(), chosen.end());
  const at::Tensor rows = at::tensor(chosen, at::kLong);
  Likeness some = all;
  some.names.clear();
  for (const int64_t row : chosen) some.names.push_back(all.names[static_cast<size_t>(row)]);
  some.tasks = some.names;
  some.similarity = all.similarity.index_select(0, rows).index_select(1, rows);
  return some;
}

}  // namespace

Likeness read_likeness(const ClusterRequest& request) {
  if (!fs::exists(request.from)) user_error("{}: there is no such run folder or registry", request.from.string());
  Likeness likeness = fs::exists(request.from / "registry.json") ? likeness_in(request.from, request.names)
                                                                 : chosen_of(of_gradients(request.from), request.names);
  const size_t members = likeness.names.size();
  if (members < 2) user_error("{}: {} to put into groups, expected two at least", request.from.string(), members);
  likeness.about = fmt::format("{} {}", members, likeness.about);
  likeness.similarity = likeness.similarity.contiguous();
  return likeness;
}

}  // namespace gaggle
