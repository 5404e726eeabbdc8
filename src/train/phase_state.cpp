#include "train/phase_state.h"

#include <cmath>

namespace gaggle {
namespace {

constexpr const char* values_prefix = "values/";
constexpr const char* failure_key = "failure";
constexpr const char* best_prefix = "best/";
constexpr const char* budget_key = "tokens_per_microbatch";  // where memory ended with more

struct StepNumber {
  const char* name;
  double StepReport::*value;
};
constexpr StepNumber step_numbers[] = {{"loss", &StepReport::loss},
                                       {"grad_norm", &StepReport::grad_norm},
                                       {"lr", &StepReport::lr},
                                       {"seconds", &StepReport::seconds},
                                       {"flops", &StepReport::flops}};

// A number as JSON holds it: null stands for one that is not finite.
double number_of(const nlohmann::json& value) { return value.is_number() ? value.get<double>() : std::nan(""); }

nlohmann::json report_json(const StepReport& report) {
  nlohmann::json json = {{"phase", report.phase},
                         {"step", report.step},
                         {"steps", report.steps},
                         {"rows", report.tokens},
                         {"by_task", report.by_task}};
  for (const StepNumber& number : step_numbers) json[number.name] = report.*number.value;
  if (report.weights_by_task.empty()) return json;
  json["weights_by_task"] = report.weights_by_task;
  json["combine_seconds"] = report.combine_seconds;
  return json;
}

StepReport report_from(const nlohmann::json& json) {
  StepReport report;
  report.phase = json.at("phase");
  report.step = json.at("step");
  report.steps = json.at("steps");
  report.tokens = json.at("rows");
  for (const auto& loss : json.at("by_task")) report.by_task.push_back(number_of(loss));
  for (const StepNumber& number : step_numbers) report.*number.value = number_of(json.at(number.name));
  if (!json.contains("weights_by_task")) return report;
  for (const auto& weight : json["weights_by_task"]) report.weights_by_task.push_back(number_of(weight));
  report.combine_seconds = number_of(json.at("combine_seconds"));
  return report;
}

}  // namespace

std::string failure_in(const Snapshot& snapshot) {
  return snapshot.state.contains(failure_key) ? snapshot.state[failure_key].get<std::string>() : "";
}

void put_failure(Snapshot& snapshot, const std::string& failure) {
  if (!failure.empty()) snapshot.state[failure_key] = failure;
}

Snapshot save_phase(const PhaseState& state, Trainer& trainer, Trainable& adapter) {
  Snapshot snapshot;
  snapshot.step = state.step;
  const Trainer::State optimiser = trainer.state();
  snapshot.state["updates"] = optimiser.updates;
  snapshot.state["not_finite"] = optimiser.not_finite;
  if (trainer.reduced()) snapshot.state[budget_key] = optimiser.tokens_per_microbatch;
  snapshot.state["best_step"] = state.best_step;
  put_tensors(snapshot, values_prefix, adapter.layout(), adapter.values().clone());
  put_tensors(snapshot, "", trainer.state_layout(), optimiser.flat.clone());
  if (state.best_step >= 0) {
    snapshot.state["best_loss"] = state.best_loss;
    put_tensors(snapshot, best_prefix, adapter.layout(), state.best_values);
  }
  if (state.unvalidated) snapshot.state["unvalidated"] = report_json(*state.unvalidated);
  return snapshot;
}

PhaseState restore_phase(const Snapshot& snapshot, Trainer& trainer, Trainable& adapter) {
  const nlohmann::json& saved = snapshot.state;
  adapter.values().copy_(snapshot_values(snapshot, adapter.layout()));
  adapter.refresh();
  trainer.restore({take_tensors(snapshot, "", trainer.state_layout()), saved.at("updates"), saved.at("not_finite"),
                   saved.value(budget_key, trainer.settings().tokens_per_microbatch)});
  PhaseState state;
  state.step = snapshot.step;
  state.best_step = saved.at("best_step");
  if (state.best_step >= 0) {
    state.best_loss = saved.at("best_loss");
    state.best_values = take_tensors(snapshot, best_prefix, adapter.layout());
  }
  if (saved.contains("unvalidated")) state.unvalidated = report_from(saved["unvalidated"]);
  return state;
}

at::Tensor snapshot_values(const Snapshot& snapshot, const ParameterLayout& layout) {
  return take_tensors(snapshot, values_prefix, layout);
}

}  // namespace gaggle
