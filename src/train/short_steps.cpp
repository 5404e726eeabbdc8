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

double phase_seconds(BaseModel& base, Trainable& adapter, const TrainingData& data, const PhaseSettings& settings,
                     double share) {
  const std::vector<Sample> batch = data.batch(0);
  const double all = tokens_of_phase(data, settings), wanted = share * all;
  StepSettings step = settings.step;
  std::span<const Sample> samples(batch);
  // Lanes that are kept stay as long as they are.
  const double lanes = wanted / tokens_of(batch) * static_cast<double>(step.lanes);
  if (lanes < static_cast<double>(step.lanes)) {
    const auto kept = std::max<int64_t>(1, static_cast<int64_t>(lanes));
    samples = samples.first(static_cast<size_t>(kept) * batch.size() / static_cast<size_t>(step.lanes));
    if (samples.empty()) samples = std::span(batch).first(1);
    step.lanes = kept;
  }
  while (step.lanes == 1 && samples.size() > 1 && tokens_of(samples) > wanted)
    samples = samples.first(samples.size() - 1);
  const auto alone = make_self();
  Trainer trainer(base, adapter, *alone, step, static_cast<int64_t>(data.tasks.size()));
  const auto seconds = [&](std::span<const Sample> fed) {
    adapter.begin_step(0);
    const double begun = monotonic_seconds();
    trainer.step(fed, learning_rate(settings.schedule, 0));
    pulse_under_way();
    return monotonic_seconds() - begun;
  };
  const double one = seconds(samples.first(1)), some = std::max(1e-9, seconds(samples));
  const double more_tokens = tokens_of(samples) - tokens_of(samples.first(1));
  if (more_tokens <= 0 || some <= one) return some * all / tokens_of(samples);
  // What a step costs however few its tokens are, as the optimiser's part of it, is not to be counted for every piece.
  const double a_token = (some - one) / more_tokens;
  const double a_step = std::max(0.0, some - a_token * tokens_of(samples));
  return a_token * all + a_step * static_cast<double>(settings.schedule.steps);
}

}  // namespace gaggle
