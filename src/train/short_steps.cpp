#include "train/short_steps.h"

#include <algorithm>

#include "base/clock.h"
#include "base/pulse.h"

namespace gaggle {
namespace {

double tokens_of(std::span<const Sample> samples) {
  double tokens = 0;
  for (const Sample& sample : samples) tokens += static_cast<double>(fed_tokens(*sample.example));
  return tokens;
}

// Tokens that the phase feeds, by some of its batches.
double tokens_of_phase(const TrainingData& data, const PhaseSettings& settings) {
  const int64_t looked_at = std::min<int64_t>(8, settings.schedule.steps);
  double tokens = 0;
  for (int64_t step = 0; step < looked_at; ++step) tokens += tokens_of(data.batch(step));
  return tokens / static_cast<double>(looked_at) * static_cast<double>(settings.schedule.steps);
}

}  // namespace

double phase_seconds(BaseModel& base, const std::vector<PhaseMember>& members, double share) {
  std::vector<std::vector<Sample>> batches;
  double all = 0, steps = 0;
  size_t count = 0;  // samples of each that are fed
  for (const PhaseMember& member : members) {
    batches.push_back(member.data.batch(0));
    all += tokens_of_phase(member.data, member.settings);
    steps = std::max(steps, static_cast<double>(member.settings.schedule.steps));
    count = std::max(count, batches.back().size());
  }
  const auto first = [&](size_t m, size_t n) { return std::span(batches[m]).first(std::min(n, batches[m].size())); };
  const auto tokens_of_first = [&](size_t n) {
    double tokens = 0;
    for (size_t m = 0; m < batches.size(); ++m) tokens += tokens_of(first(m, n));
    return tokens;
  };
  StepSettings step = members[0].settings.step;
  const double wanted = share * all;
  // Lanes that are kept stay as long as they are.
  const double lanes = wanted / tokens_of_first(count) * static_cast<double>(step.lanes);
  if (lanes < static_cast<double>(step.lanes)) {
    const auto kept = std::max<int64_t>(1, static_cast<int64_t>(lanes));
    count = std::max<size_t>(1, static_cast<size_t>(kept) * count / static_cast<size_t>(step.lanes));
    step.lanes = kept;
  }
  while (step.lanes == 1 && count > 1 && tokens_of_first(count) > wanted) --count;
  const auto alone = make_self();
  std::vector<std::unique_ptr<Trainer>> trainers;
  for (const PhaseMember& member : members)
    trainers.push_back(
        std::make_unique<Trainer>(base, member.adapter, *alone, step, static_cast<int64_t>(member.data.tasks.size())));
  const auto seconds = [&](size_t fed_members, size_t samples) {
    std::vector<StepPart> parts;
    for (size_t m = 0; m < fed_members; ++m) {
      members[m].adapter.begin_step(0);
      parts.push_back({*trainers[m], first(m, samples), learning_rate(members[m].settings.schedule, 0)});
    }
    const double begun = monotonic_seconds();
    step_together(parts, StepStatus::ok);
    pulse_under_way();
    return monotonic_seconds() - begun;
  };
  const double one = seconds(1, 1), some = std::max(1e-9, seconds(members.size(), count));
  const double fed = tokens_of_first(count), more_tokens = fed - tokens_of(first(0, 1));
  if (more_tokens <= 0 || some <= one) return some * all / fed;
  // What a step costs however few its tokens are, as the optimiser's part of it, is not to be counted for every piece.
  const double a_token = (some - one) / more_tokens;
  const double a_step = std::max(0.0, some - a_token * fed);
  return a_token * all + a_step * steps;
}

}  // namespace gaggle
