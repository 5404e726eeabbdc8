#include "alignment/alignment_watch.h"

#include <algorithm>

#include "base/clock.h"
#include "base/error.h"
#include "base/names.h"

namespace gaggle {
namespace {

constexpr int64_t most_dims = int64_t{1} << 20;  // of a sketch that the memory limit asks for

bool is_chosen(const AlignmentConfig& config, const LoraSite& s) {
  return config.sites.empty() || names_module(config.sites, s.site.name);
}

// With one skill both spaces are one.
std::vector<GradientSpace> spaces_of(const AlignmentConfig& config, int64_t skills) {
  if (skills == 1) return {GradientSpace::skill};
  if (config.space == "both") return {GradientSpace::skill, GradientSpace::mixed};
  return {config.space == "mixed" ? GradientSpace::mixed : GradientSpace::skill};
}

std::vector<bool> chosen_tasks(const AlignmentConfig& config, const std::vector<TokenTask>& tasks) {
  std::vector<std::string> names;
  for (const TokenTask& task : tasks) names.push_back(task.name);
  std::vector<bool> chosen(tasks.size(), config.tasks.empty());
  for (const std::string& name : config.tasks) {
    const auto found = std::ranges::find(names, name);
    if (found == names.end()) user_error("alignment.tasks: no task {}{}", name, did_you_mean(name, names));
    chosen[static_cast<size_t>(found - names.begin())] = true;
  }
  return chosen;
}

// Dimensions for gradients of so many tasks; 0: they are kept as they are.
int64_t sketch_dims(const AlignmentConfig& config, int64_t tasks, int64_t values) {
  if (config.sketch > 0) return config.sketch;
  const int64_t limit = config.memory_mb << 20;
  if (exact_fits(tasks, values, limit)) return 0;
  int64_t dims = most_dims;
  while (dims > 1024 && !exact_fits(tasks, dims, limit)) dims /= 2;
  return dims;
}

// What each of the chosen tasks has in a batch.
BatchTasks batch_tasks(std::span<const Sample> batch, const std::vector<bool>& chosen) {
  double tokens = 0;
  std::vector<int64_t> samples[2];
  std::vector<double> targets[2];
  for (size_t odd : {0u, 1u}) samples[odd].resize(chosen.size()), targets[odd].resize(chosen.size());
  for (const Sample& sample : batch) {
    const auto of_sample = static_cast<double>(sample.example->target.size());
    const auto odd = static_cast<size_t>(sample.occurrence % 2), task = static_cast<size_t>(sample.task);
    tokens += of_sample;
    ++samples[odd][task];
    targets[odd][task] += of_sample;
  }
  BatchTasks tasks;
  for (size_t t = 0; t < chosen.size(); ++t) {
    if (!chosen[t] || samples[0][t] == 0) continue;
    tasks.tasks.push_back(static_cast<int>(t));
    tasks.even_samples.push_back(samples[0][t]);
    tasks.odd_samples.push_back(samples[1][t]);
    tasks.even_share.push_back(targets[0][t] / tokens);
    tasks.odd_share.push_back(targets[1][t] / tokens);
  }
  return tasks;
}

}  // namespace

void check_alignment(const AlignmentConfig& config, const std::vector<TokenTask>& tasks,
                     std::span<const LoraSite> sites) {
  chosen_tasks(config, tasks);
  if (std::ranges::none_of(sites, [&](const LoraSite& s) { return is_chosen(config, s); }))
    user_error("alignment.sites: none of them is an adapted linear: {}", join(config.sites, ", "));
}

AlignmentWatch::AlignmentWatch(const AlignmentPlan& plan, SkillAdapter& adapter, Communicator& group)
    : config_(plan.config),
      adapter_(adapter),
      group_(group),
      folder_(plan.folder),
      chosen_tasks_(chosen_tasks(config_, plan.tasks)),
      spaces_(spaces_of(config_, adapter.spec().skills)),
      most_tasks_(std::min(plan.batch_size, static_cast<int64_t>(std::ranges::count(chosen_tasks_, true)))),
      seed_(plan.seed) {
  adapter_.begin_step(0);  // whether samples are drawn per example is known from here on
  check_alignment(config_, plan.tasks, adapter.spec().sites);
  lay_out();
  windows_.window = config_.window;
  windows_.groups = site_groups(sites_);
  for (const TokenTask& task : plan.tasks) windows_.tasks.push_back(task.name);
}

void AlignmentWatch::lay_out() {
  per_example_ = adapter_.per_example();
  number_of_site_.clear();
  sites_.clear();
  gathered_.clear();
  int64_t offset = 0;
  const PolySpec& spec = adapter_.spec();
  for (const LoraSite& s : spec.sites) {
    const bool chosen = is_chosen(config_, s);
    number_of_site_.push_back(chosen ? static_cast<int>(sites_.size()) : -1);
    if (!chosen) continue;
    const WatchedSizes sizes = adapter_.watched_sizes(s);
    sites_.push_back({s.site.name, s.site.kind, s.site.layer, spec.heads, spec.skills, sizes.a, sizes.b, offset});
    offset += sites_.back().size();
  }
  const int64_t dims = sketch_dims(config_, most_tasks_, offset);
  if (dims == 0) {
    gathered_.push_back({{}, spaces_, {}});
    return;
  }
  for (const GradientSpace space : spaces_) {
    const bool weighted = space == GradientSpace::skill && !per_example_;
    gathered_.push_back(
        {plan_sketch(sites_, Slots::by_site, dims, weighted, seed_, adapter_.values().device()), {space}, {}});
  }
}

void AlignmentWatch::resume(int64_t step) {
  if (first()) windows_ = resume_windows(folder_, step, std::move(windows_));
}

void AlignmentWatch::begin_gathering() {
  const auto tasks = static_cast<int64_t>(batch_->tasks.size());
  for (Gathered& g : gathered_) {
    const int64_t width = g.plan ? g.plan->dims : values_of(sites_);
    const auto options = adapter_.values().options();
    g.gradients.space = g.plan ? g.spaces[0] : adapter_.per_example() ? GradientSpace::skill : GradientSpace::mixed;
    g.gradients.all = at::zeros({tasks, width}, options);
    g.gradients.even = at::zeros({tasks, width}, options);
    g.gradients.weights.clear();
  }
  const std::vector<at::Tensor> routing = adapter_.routing_of(batch_->tasks);
  routing_.clear();
  for (size_t s = 0; s < routing.size(); ++s)
    if (number_of_site_[s] >= 0) routing_.push_back(routing[s]);
  if (!gathered_[0].plan) gathered_[0].gradients.weights = routing_;
}

void AlignmentWatch::before_step(int64_t step, std::span<const Sample> batch) {
  batch_.reset();
  if ((step + 1) % config_.every != 0) return;
  const Stopwatch measuring(seconds_);
  if (adapter_.per_example() != per_example_) lay_out();  // no samples are drawn once routing is uniform
  batch_ = batch_tasks(batch, chosen_tasks_);
  begin_gathering();
  adapter_.watch([this](const WatchedGradient& watched) { take(watched); });
}

void AlignmentWatch::take(const WatchedGradient& watched) {
  const int site = number_of_site_[watched.site];
  const auto found = std::ranges::lower_bound(batch_->tasks, watched.task);
  if (site < 0 || found == batch_->tasks.end() || *found != watched.task) return;
  const auto row = static_cast<int64_t>(found - batch_->tasks.begin());
  const auto number = static_cast<size_t>(site);
  for (Gathered& g : gathered_) {
    at::Tensor to = (watched.even ? g.gradients.even : g.gradients.all)[row];
    if (g.plan)
      add_to_sketch(*g.plan, number, watched.gradient, routing_.empty() ? at::Tensor() : routing_[number][row], to);
    else
      to.narrow(0, sites_[number].offset, sites_[number].size()).add_(watched.gradient);
  }
}

void AlignmentWatch::measure(const StepReport& report) {
  const double began = monotonic_seconds(), before = seconds();
  const Stopwatch measuring(seconds_);
  std::vector<MeasuredStep> lines;
  for (Gathered& g : gathered_) {
    const auto& sites = g.plan ? g.plan->slots : sites_;
    const auto grams = task_grams(sites, g.gradients, *batch_, g.spaces, group_);
    if (!first()) continue;
    for (const GradientSpace space : g.spaces) {
      MeasuredStep& line = lines.emplace_back(add_measurement(windows_, report.step, space, grams.at(space), *batch_));
      if (!g.plan) continue;
      line.sketch_dims = g.plan->dims;
      line.sketch_error = typical_error(cosine_errors(grams.at(space).full, sites, windows_.groups[0].sites));
    }
  }
  for (MeasuredStep& line : lines) {
    line.seconds = before - measured_until_ + monotonic_seconds() - began;
    line.step_seconds = report.seconds;
    append_step(folder_, line);
  }
  ++measurements_;
}

void AlignmentWatch::after_step(const StepReport& report) {
  step_seconds_ += report.seconds;
  if (!batch_) return;
  adapter_.watch({});
  measure(report);
  measured_until_ = seconds();
  batch_.reset();
}

void AlignmentWatch::save() {
  if (first() && measurements_ > 0) write_windows(folder_, windows_);
}

}  // namespace gaggle
