#include "train/trainer.h"

#include <cmath>

#include "base/error.h"

namespace gaggle {
namespace {

constexpr int64_t max_not_finite = 5;

std::vector<int> owners_of_state(const ParameterLayout& state, const ParameterLayout& layout, const Owners& owners) {
  std::vector<int> of_tensor;
  for (const ParameterInfo& tensor : state.tensors()) {
    const ParameterInfo& parameter = layout.at(state_owner(tensor.name));
    of_tensor.push_back(owners.of_tensor[static_cast<size_t>(&parameter - layout.tensors().data())]);
  }
  return of_tensor;
}

std::unique_ptr<GradientsByTask> kept_by_task(Trainable& adapter, const CombineSettings& combine) {
  if (combine.how == Combine::sum) return nullptr;
  auto* const skills = dynamic_cast<SkillAdapter*>(&adapter);
  GAGGLE_CHECK(skills, "only gradients of skills are combined");
  return std::make_unique<GradientsByTask>(*skills, combine.most_tasks);
}

// Only of pairs the gradients are complete as soon as the pass has left their layer. Where ranks share the base, its layers
// travel in that time, and a rank that fails leaves in the middle of a pass.
std::unique_ptr<EarlySums> sent_early(const BaseModel& base, Trainable& adapter, Communicator& group, int64_t lanes) {
  const at::Device device = adapter.values().device();
  if (group.size() == 1 || base.shards() || !dynamic_cast<PairAdapter*>(&adapter)) return nullptr;
  if (!device.is_cpu() && !group.device()) return nullptr;  // through the host's memory: every copy would stop the pass
  return std::make_unique<EarlySums>(group, adapter.layout(), lanes, device, base.sites());
}

}  // namespace

Trainer::Trainer(BaseModel& base, Trainable& adapter, Communicator& group, StepSettings settings, int64_t tasks)
    : base_(base),
      adapter_(adapter),
      group_(group),
      settings_(std::move(settings)),
      wanted_tokens_(settings_.tokens_per_microbatch),
      exchange_(group, adapter.layout(), settings_.lanes, adapter.values().device()),
      by_task_(kept_by_task(adapter, settings_.combine)),
      gradient_owners_(by_task_ ? owners_of(by_task_->layout(), exchange_.owners().of_tensor, group.size())
                                : exchange_.owners()),
      sums_(lanes_of_rank(group.rank(), group.size(), settings_.lanes), settings_.lanes,
            by_task_ ? by_task_->layout().size() : adapter.layout().size(), adapter.values().device()),
      early_(sent_early(base, adapter, group, settings_.lanes)),
      tasks_(tasks),
      optimizer_(settings_.optimizer, exchange_.my_tensors(), adapter.values().options()),
      state_layout_(gaggle::state_layout(settings_.optimizer, adapter.layout().tensors())),
      state_owners_(owners_of(state_layout_, owners_of_state(state_layout_, adapter.layout(), exchange_.owners()),
                              group.size())) {
  GAGGLE_CHECK(group.size() <= settings_.lanes, "{} ranks for {} lanes", group.size(), settings_.lanes);
}

std::vector<double> Trainer::losses_per_token(std::span<const Sample> batch, const std::vector<double>& sums) const {
  const std::vector<float> weights = loss_weights(batch, settings_.loss_average);
  std::vector<double> shares(sums.size(), 0), losses;
  for (size_t i = 0; i < batch.size(); ++i)
    shares[static_cast<size_t>(batch[i].task)] +=
        static_cast<double>(weights[i]) * static_cast<double>(batch[i].example->target.size());
  for (size_t t = 0; t < sums.size(); ++t) losses.push_back(shares[t] > 0 ? sums[t] / shares[t] : std::nan(""));
  return losses;
}

StepResult Trainer::step(std::span<const Sample> batch, double lr, StepStatus status) {
  const StepPart part{*this, batch, lr};
  StepResult result = step_together({&part, 1}, status)[0];
  if (!result.failure.empty()) throw NotFinite(result.failure);
  return result;
}

void Trainer::begin_lanes(std::span<const Sample> batch) {
  sums_.begin();
  if (by_task_) by_task_->begin(batch);
}

void Trainer::set_gradients(const at::Tensor& flat) {
  by_task_&& flat.defined() ? by_task_->set_gradients(flat) : adapter_.set_gradients(flat);
}

void Trainer::end_lane(bool last) {
  adapter_.finish_gradients();
  if (!early_ || !last) sums_.end_lane();
}

at::Tensor Trainer::step_gradient(std::span<const Sample> batch, StepResult& result) {
  const at::Tensor sums = early_ ? early_->take() : exchange_.sum_to_owners(sums_.pieces(), gradient_owners_);
  if (!by_task_) return sums;
  const GradientsByTask::Joined joined = by_task_->join(
      sums, gradient_owners_,
      [&](const at::Tensor& gram) { return combining_weights(settings_.combine, gram, batch[0].global_index); },
      group_);
  result.combine_seconds = joined.seconds;
  result.weights_by_task.assign(static_cast<size_t>(tasks_), std::nan(""));
  for (size_t i = 0; i < joined.tasks.size(); ++i)
    result.weights_by_task[static_cast<size_t>(joined.tasks[i])] = joined.weights[i];
  return joined.gradient;
}

StepResult Trainer::finish(std::span<const Sample> batch, std::span<const double> losses, double lr) {
  StepResult result;
  const at::Tensor gradient = step_gradient(batch, result);
  const Exchange::Totals totals = exchange_.totals(gradient, losses, tasks_);
  for (const double sum : totals.sums) result.loss += sum;
  result.by_task = losses_per_token(batch, totals.sums);
  result.grad_norm = std::sqrt(totals.squared_norm);
  for (const Sample& sample : batch) result.tokens += fed_tokens(*sample.example);
  if (!std::isfinite(result.grad_norm) || !std::isfinite(result.loss)) {
    result.skipped = true;
    if (++not_finite_ == max_not_finite)
      result.failure = fmt::format(
          "the loss or its gradient was not finite in {} steps running (loss {}, |g| {}): "
          "lower train.lr, or look at the data",
          max_not_finite, result.loss, result.grad_norm);
    return result;
  }
  not_finite_ = 0;
  ++updates_;
  const double factor = clip_factor(result.grad_norm, settings_.clip);
  if (factor < 1) gradient.mul_(factor);
  at::Tensor& values = adapter_.values();
  const at::Tensor owned = gather_ranges(values, exchange_.mine());
  optimizer_.update(owned, gradient, updates_, lr);
  if (group_.size() > 1) scatter_ranges(owned, exchange_.mine(), values);
  exchange_.spread(values);
  adapter_.refresh();
  return result;
}

Trainer::State Trainer::state() {
  return {exchange_.whole(optimizer_.state(), state_owners_, state_layout_.size()), updates_, not_finite_,
          settings_.tokens_per_microbatch};
}

void Trainer::restore(const State& state) {
  optimizer_.state().copy_(gather_ranges(state.flat, state_owners_.ranges[static_cast<size_t>(group_.rank())]));
  updates_ = state.updates;
  not_finite_ = state.not_finite;
  settings_.tokens_per_microbatch = std::min(settings_.tokens_per_microbatch, state.tokens_per_microbatch);
}

}  // namespace gaggle
