#include "alignment/report.h"

#include <algorithm>
#include <cmath>

#include "alignment/expert_sketch.h"
#include "alignment/record.h"
#include "alignment/similarity.h"
#include "alignment/statistics.h"
#include "base/error.h"
#include "base/table.h"

namespace gaggle {
namespace {

constexpr size_t windows_shown = 5;
constexpr size_t layer_ranges = 6;

std::string percent_cell(double value) { return std::isnan(value) ? "-" : fmt::format("{:.1f} %", 100 * value); }

// The mean of what there is of it.
struct Mean {
  double sum = 0;
  int64_t count = 0;
  void add(double value) {
    if (std::isnan(value)) return;
    sum += value;
    ++count;
  }
  double value() const { return count == 0 ? std::nan("") : sum / static_cast<double>(count); }
};

using Window = std::vector<const MeasuredStep*>;

// The lines of one space, cut into windows: each begins where its first measurement stands.
std::vector<Window> windows_of(const AlignmentRun& run, GradientSpace space) {
  std::vector<Window> windows;
  for (const MeasuredStep& step : run.steps) {
    if (step.space != space) continue;
    if (windows.empty() || step.window_measurements == 1) windows.emplace_back();
    windows.back().push_back(&step);
  }
  return windows;
}

std::string steps_text(const Window& window) { return fmt::format("{}–{}", window.front()->step, window.back()->step); }

// A window's numbers of some groups: means over its measurements;
// the noise-free ones are those of its last measurement, which hold them all.
struct Summary {
  Mean cosine, conflicting, noise_free, pairs;
};
Summary summary_of(const Window& window, std::span<const size_t> groups) {
  Summary summary;
  for (const size_t g : groups) {
    for (const MeasuredStep* step : window) {
      summary.cosine.add(step->groups[g].cosine.mean_cosine);
      summary.conflicting.add(step->groups[g].cosine.conflicting);
      summary.pairs.add(static_cast<double>(step->groups[g].cosine.pairs));
    }
    summary.noise_free.add(window.back()->groups[g].noise_free.median_cosine);
  }
  return summary;
}

// Its cells behind those given.
std::vector<Cell> with_cells(std::vector<Cell> line, const Summary& summary) {
  line.push_back(cosine_cell(summary.cosine.value(), 3));
  line.push_back(percent_cell(summary.conflicting.value()));
  line.push_back(cosine_cell(summary.noise_free.value(), 3));
  return line;
}

Table last_windows_table(const std::vector<Window>& windows) {
  Table table({"steps", "measured", "mean cosine", "conflicting", "noise-free median", "pairs a step"});
  const size_t all = 0;
  for (size_t w = windows.size() - std::min(windows.size(), windows_shown); w < windows.size(); ++w) {
    const Summary summary = summary_of(windows[w], {&all, 1});
    std::vector<Cell> line = with_cells({steps_text(windows[w]), std::to_string(windows[w].size())}, summary);
    line.push_back(fmt::format("{:.0f}", summary.pairs.value()));
    table.add(std::move(line));
  }
  return table;
}

// Kinds one by one; layers in at most six ranges, each the mean of its layers.
Table by_group_table(const Window& window) {
  const std::vector<GroupNumbers>& groups = window.back()->groups;
  Table table({"sites", "mean cosine", "conflicting", "noise-free median"});
  const auto add = [&](const std::string& name, std::span<const size_t> chosen) {
    table.add(with_cells({name}, summary_of(window, chosen)));
  };
  std::vector<size_t> layers;
  for (size_t g = 0; g < groups.size(); ++g)
    if (groups[g].by == "layer")
      layers.push_back(g);
    else
      add(groups[g].name, {&g, 1});
  const size_t ranges = std::min(layers.size(), layer_ranges);
  for (size_t i = 0; i < ranges; ++i) {
    const size_t begin = i * layers.size() / ranges, end = (i + 1) * layers.size() / ranges;
    const std::string first = groups[layers[begin]].name, last = groups[layers[end - 1]].name;
    add(first == last ? "layer " + first : fmt::format("layers {}–{}", first, last),
        std::span(layers).subspan(begin, end - begin));
  }
  return table;
}

// A run of experts in a table of runs: gradients at the common start.
std::vector<Cell> with_experts(const AlignmentRun& run) {
  const PairStatistics pairs = pair_statistics(run.experts->cosine);
  return {run.name,
          "start",
          std::to_string(run.experts->tasks.size()),
          "0",
          cosine_cell(pairs.mean_cosine, 3),
          percent_cell(pairs.conflicting),
          "-"};
}

std::string cost_line(const Window& window) {
  Mean seconds, step_seconds;
  for (const MeasuredStep* step : window) {
    seconds.add(step->seconds);
    step_seconds.add(step->step_seconds);
  }
  const MeasuredStep& last = *window.back();
  return fmt::format("{}; a measurement takes {:.3f} s beside a step of {:.3f} s\n",
                     last.sketch_dims == 0 ? std::string("exact gradients")
                                           : fmt::format("sketches of {} dimensions, standard error of a cosine {:.3f}",
                                                         last.sketch_dims, last.sketch_error),
                     seconds.value(), step_seconds.value());
}

}  // namespace

AlignmentRun read_alignment_run(const std::filesystem::path& run_folder) {
  const auto folder = run_folder / "alignment";
  AlignmentRun run{run_folder.filename().string(), read_steps(folder), {}, read_routing(run_folder), {}};
  if (!run.steps.empty()) {
    run.windows = read_windows(folder);
    return run;
  }
  const auto experts = folder / "experts.safetensors";
  if (!std::filesystem::exists(experts))
    user_error(
        "{}: no alignment was measured; train with alignment.every = N, "
        "or pass over a checkpoint with --examples",
        folder.string());
  run.experts = read_similarity(experts);
  return run;
}

Page alignment_page(const AlignmentRun& run, int64_t pairs) {
  Page page;
  if (run.experts)
    page += Page(fmt::format("{} · gradients at the experts' common start\n", run.name)) +
            similarity_page(*run.experts, pairs) + "\n" +
            matrix_page("tasks' gradients", run.experts->tasks, run.experts->cosine);
  for (const auto& [space, running] : run.windows.running) {
    const auto windows = windows_of(run, space);
    if (windows.empty()) continue;
    const WindowMatrices matrices = newest_matrices(run.windows, space);
    if (!page.empty()) page += "\n";
    page += fmt::format("{} · {} space\n\n", run.name, name_of(space));
    page +=
        last_windows_table(windows) + Page("\n") + by_group_table(windows.back()) + "\n" + cost_line(windows.back());
    page += fmt::format("\npairs of tasks over {} up to step {}\n\n", plural(matrices.measurements, "measurement"),
                        matrices.last_step);
    page += pairs_table(run.windows.tasks, matrices.cosine, matrices.noise_free, "noise-free", pairs);
    page += Page("\n") + matrix_page("tasks' gradients", run.windows.tasks, matrices.cosine);
  }
  if (!run.routing.empty())
    page += Page(fmt::format("\n{} · routing over training, mean over sites\n\n", run.name)) +
            routing_over_training_table(run.routing);
  return page + glossary_line();
}

Table comparison_table(std::span<const AlignmentRun> runs) {
  Table table({"run", "space", "tasks", "steps", "mean cosine", "conflicting", "noise-free median"});
  const size_t all = 0;
  for (const AlignmentRun& run : runs) {
    if (run.experts) table.add(with_experts(run));
    for (const auto& [space, running] : run.windows.running) {
      const auto windows = windows_of(run, space);
      if (windows.empty()) continue;
      table.add(
          with_cells({run.name, name_of(space), std::to_string(run.windows.tasks.size()), steps_text(windows.back())},
                     summary_of(windows.back(), {&all, 1})));
    }
  }
  return table;
}

}  // namespace gaggle
