#include "train/trainer.h"

#include <cmath>
#include <exception>

#include "base/error.h"
#include "base/log.h"
#include "model/speed.h"

namespace gaggle {
namespace {

constexpr int64_t max_not_finite = 5;

double weighted_sum(const at::Tensor& nll, const Rows& rows) {
  const at::Tensor cpu = nll.to(at::kCPU, at::kFloat).contiguous();
  const float* values = cpu.const_data_ptr<float>();
  double sum = 0;
  for (size_t i = 0; i < rows.target_weights.size(); ++i)
    sum += static_cast<double>(values[i]) * static_cast<double>(rows.target_weights[i]);
  return sum;
}

}  // namespace

Trainer::Trainer(BaseModel& base, Trainable& adapter, Communicator& group, StepSettings settings)
    : base_(base),
      adapter_(adapter),
      group_(group),
      settings_(std::move(settings)),
      exchange_(group, adapter.layout(), settings_.lanes),
      sums_(lanes_of_rank(group.rank(), group.size(), settings_.lanes), settings_.lanes,
            adapter.layout().size(), adapter.values().device()) {
  GAGGLE_CHECK(group.size() <= settings_.lanes, "{} ranks for {} lanes", group.size(), settings_.lanes);
  m_ = at::zeros({exchange_.my_count()}, adapter.values().options());
  v_ = at::zeros_like(m_);
}

std::vector<double> Trainer::sum_lanes(std::span<const Sample> batch, double& flops) {
  const std::vector<float> weights = loss_weights(batch, settings_.loss_average);
  const LaneRange run = lanes_of_rank(group_.rank(), group_.size(), settings_.lanes);
  std::vector<double> losses;
  sums_.begin();
  for (int64_t lane = run.begin; lane < run.end; ++lane) {
    adapter_.set_gradients(sums_.begin_lane());
    double loss = 0;
    for (const Rows& rows :
         lane_microbatches(batch, weights, lane, settings_.lanes, settings_.tokens_per_microbatch)) {
      loss += weighted_sum(base_.forward_backward(rows, adapter_), rows);
      flops += useful_flops(base_, rows);
    }
    losses.push_back(loss);
    sums_.end_lane();
  }
  return losses;
}

StepResult Trainer::step(std::span<const Sample> batch, double lr, Status status) {
  StepResult result;
  std::vector<double> losses;
  std::exception_ptr failure;
  try {
    losses = sum_lanes(batch, result.flops);
  } catch (...) {
    if (group_.size() == 1) throw;
    failure = std::current_exception();  // the others wait in the exchange: tell them there
    status = Status::failed;
  }
  at::Tensor gradient;
  try {
    gradient = exchange_.sum_to_owners(failure ? std::vector<Piece>{} : sums_.pieces(), status);
  } catch (...) {
    if (!failure) throw;
  }
  if (failure) std::rethrow_exception(failure);

  const Exchange::Totals totals = exchange_.totals(gradient, losses);
  result.loss = totals.loss;
  result.grad_norm = std::sqrt(totals.squared_norm);
  result.status = status;
  for (const Sample& sample : batch) result.rows += fed_rows(*sample.row);
  if (!std::isfinite(result.grad_norm) || !std::isfinite(result.loss)) {
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
  adamw_update(owned, gradient, m_, v_, updates_, lr, settings_.adamw);
  if (group_.size() > 1) scatter_ranges(owned, exchange_.mine(), values);
  exchange_.spread(values);
  adapter_.refresh();
  return result;
}

Trainer::Moments Trainer::moments() {
  return {exchange_.whole(m_.cpu()), exchange_.whole(v_.cpu()), updates_, not_finite_};
}

void Trainer::restore(const Moments& moments) {
  m_.copy_(gather_ranges(moments.m, exchange_.mine()));
  v_.copy_(gather_ranges(moments.v, exchange_.mine()));
  updates_ = moments.updates;
  not_finite_ = moments.not_finite;
}

double mean_loss(BaseModel& base, SiteAdapter* adapter, const std::vector<TokenRow>& rows, int64_t lanes,
                 int64_t tokens_per_microbatch, Communicator& group) {
  std::vector<Sample> all;
  for (size_t i = 0; i < rows.size(); ++i) all.push_back({static_cast<int64_t>(i), 0, &rows[i]});
  const std::vector<float> weights = loss_weights(all, "token");
  const LaneRange run = lanes_of_rank(group.rank(), group.size(), lanes);
  std::vector<double> losses;
  for (int64_t lane = run.begin; lane < run.end; ++lane) {
    double loss = 0;
    for (const Rows& part : lane_microbatches(all, weights, lane, lanes, tokens_per_microbatch))
      loss += weighted_sum(base.nll(base.forward(part, adapter, nullptr), part), part);
    losses.push_back(loss);
  }
  const ParameterLayout nothing;
  return Exchange(group, nothing, lanes).sum_lanes(losses);
}

}  // namespace gaggle
