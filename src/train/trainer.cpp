#include "train/trainer.h"

#include <cmath>
#include <exception>

#include "base/error.h"
#include "base/log.h"
#include "model/speed.h"
#include "train/tfew.h"

namespace gaggle {
namespace {

constexpr int64_t max_not_finite = 5;

// Σ weight · nll of each task's targets, added to `sums`. Targets lie in the order of the tokens, as segments do.
void add_weighted(const at::Tensor& nll, const Microbatch& batch, std::span<double> sums) {
  const at::Tensor cpu = nll.to(at::kCPU, at::kFloat).contiguous();
  const float* values = cpu.const_data_ptr<float>();
  std::vector<double> of_part(sums.size(), 0);
  size_t segment = 0;
  for (size_t i = 0; i < batch.target_weights.size(); ++i) {
    while (batch.decoder.segments[segment].end <= batch.scored_tokens[i]) ++segment;
    of_part[static_cast<size_t>(batch.decoder.segments[segment].member)] +=
        static_cast<double>(values[i]) * static_cast<double>(batch.target_weights[i]);
  }
  for (size_t t = 0; t < sums.size(); ++t) sums[t] += of_part[t];
}

std::vector<int> owners_of_state(const ParameterLayout& state, const ParameterLayout& layout, const Owners& owners) {
  std::vector<int> of_tensor;
  for (const ParameterInfo& tensor : state.tensors()) {
    const ParameterInfo& parameter = layout.at(state_owner(tensor.name));
    of_tensor.push_back(owners.of_tensor[static_cast<size_t>(&parameter - layout.tensors().data())]);
  }
  return of_tensor;
}

}  // namespace

Trainer::Trainer(BaseModel& base, Trainable& adapter, Communicator& group, StepSettings settings, int64_t tasks)
    : base_(base),
      adapter_(adapter),
      group_(group),
      settings_(std::move(settings)),
      exchange_(group, adapter.layout(), settings_.lanes),
      sums_(lanes_of_rank(group.rank(), group.size(), settings_.lanes), settings_.lanes, adapter.layout().size(),
            adapter.values().device()),
      tasks_(tasks),
      optimizer_(settings_.optimizer, exchange_.my_tensors(), adapter.values().options()),
      state_layout_(gaggle::state_layout(settings_.optimizer, adapter.layout().tensors())),
      state_owners_(owners_of(state_layout_, owners_of_state(state_layout_, adapter.layout(), exchange_.owners()),
                              group.size())) {
  GAGGLE_CHECK(group.size() <= settings_.lanes, "{} ranks for {} lanes", group.size(), settings_.lanes);
}

std::vector<double> Trainer::run_lanes(std::span<const Sample> batch, double& flops) {
  const std::vector<float> weights = loss_weights(batch, settings_.loss_average);
  const LaneRange run = lanes_of_rank(group_.rank(), group_.size(), settings_.lanes);
  const auto tasks = static_cast<size_t>(tasks_);
  std::vector<double> losses;
  sums_.begin();
  for (int64_t lane = run.begin; lane < run.end; ++lane) {
    adapter_.set_gradients(sums_.begin_lane());
    losses.resize(losses.size() + tasks, 0);
    for (const Microbatch& microbatch :
         lane_microbatches(batch, weights, lane, settings_.lanes, settings_.tokens_per_microbatch, settings_.tfew)) {
      add_loss(microbatch, std::span(losses).last(tasks));
      flops += useful_flops(base_, microbatch);
    }
    adapter_.finish_gradients();
    sums_.end_lane();
  }
  return losses;
}

void Trainer::add_loss(const Microbatch& batch, std::span<double> by_task) {
  LossOptions options{settings_.label_smoothing, {}};
  if (!settings_.tfew)
    return add_weighted(base_.forward_backward(batch, adapter_, options, settings_.dropout), batch, by_task);
  GAGGLE_CHECK(by_task.size() == 1);
  options.weights = [&](const Microbatch& all, std::span<const float> nll, std::span<float> weights) {
    by_task[0] += tfew_loss(all, nll, weights);
  };
  base_.forward_backward(batch, adapter_, options, settings_.dropout);
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
  StepResult result;
  std::vector<double> losses;
  std::exception_ptr failure;
  try {
    losses = run_lanes(batch, result.flops);
  } catch (...) {
    if (group_.size() == 1) throw;
    failure = std::current_exception();  // the others wait in the exchange: tell them there
    status = StepStatus::failed;
  }
  at::Tensor gradient;
  try {
    gradient = exchange_.sum_to_owners(failure ? std::vector<Piece>{} : sums_.pieces(), status);
  } catch (...) {
    if (!failure) throw;
  }
  if (failure) std::rethrow_exception(failure);

  const Exchange::Totals totals = exchange_.totals(gradient, losses, tasks_);
  for (const double sum : totals.sums) result.loss += sum;
  result.by_task = losses_per_token(batch, totals.sums);
  result.grad_norm = std::sqrt(totals.squared_norm);
  result.status = status;
  for (const Sample& sample : batch) result.tokens += fed_tokens(*sample.example);
  if (!std::isfinite(result.grad_norm) || !std::isfinite(result.loss)) {
    result.skipped = true;
    if (++not_finite_ == max_not_finite)
      throw NotFinite(
          fmt::format("the loss or its gradient was not finite in {} steps running (loss {}, |g| {}): "
                      "lower train.lr, or look at the data",
                      max_not_finite, result.loss, result.grad_norm));
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
  return {exchange_.whole(optimizer_.state(), state_owners_, state_layout_.size()).cpu(), updates_, not_finite_};
}

void Trainer::restore(const State& state) {
  optimizer_.state().copy_(gather_ranges(state.flat, state_owners_.ranges[static_cast<size_t>(group_.rank())]));
  updates_ = state.updates;
  not_finite_ = state.not_finite;
}

std::vector<double> mean_losses(BaseModel& base, SiteAdapter* adapter, const std::vector<const TokenTask*>& tasks,
                                Split split, const StepSettings& settings, Communicator& group,
                                const std::function<std::optional<Exit>()>& stop) {
  std::vector<Sample> all;
  std::vector<float> weights;
  for (size_t t = 0; t < tasks.size(); ++t) {
    const size_t before = all.size();
    for (const TokenExample& example : tasks[t]->examples(split))
      all.push_back({static_cast<int64_t>(all.size()), static_cast<int>(t), &example, 0});
    const std::vector<float> of_task = loss_weights(std::span(all).subspan(before), LossAverage::token);
    weights.insert(weights.end(), of_task.begin(), of_task.end());
  }
  const LaneRange run = lanes_of_rank(group.rank(), group.size(), settings.lanes);
  const size_t width = tasks.size() + 1;  // a lane's sums by task, then the exit code that was asked for in it
  std::vector<double> losses;
  std::optional<Exit> asked;
  for (int64_t lane = run.begin; lane < run.end; ++lane) {
    losses.resize(losses.size() + width, 0);
    const std::span<double> of_lane = std::span(losses).last(width);
    for (const Microbatch& part :
         lane_microbatches(all, weights, lane, settings.lanes, settings.tokens_per_microbatch)) {
      if (stop && group.rank() == 0 && !asked && (asked = stop())) of_lane.back() = static_cast<double>(*asked);
      if (asked) break;
      add_weighted(base.nll(base.forward(part, adapter, nullptr), part), part, of_lane.first(tasks.size()));
    }
  }
  std::vector<double> sums = sum_lanes(group, settings.lanes, losses, static_cast<int64_t>(width));
  if (sums.back() > 0) throw StopRequested{static_cast<Exit>(sums.back())};
  sums.pop_back();
  for (size_t t = 0; t < tasks.size(); ++t)
    if (tasks[t]->examples(split).empty()) sums[t] = std::nan("");
  return sums;
}

double mean_of_tasks(const std::vector<double>& losses) {
  double sum = 0, count = 0;
  for (const double loss : losses)
    if (!std::isnan(loss)) sum += loss, ++count;
  return sum / count;
}

}  // namespace gaggle
