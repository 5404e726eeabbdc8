// The passes of a step that several trainers make together.
#include <exception>
#include <optional>

#include "adapter/pack.h"
#include "base/error.h"
#include "base/log.h"
#include "model/speed.h"
#include "train/idle_passes.h"
#include "train/out_of_memory.h"
#include "train/passed_batches.h"
#include "train/tfew.h"
#include "train/trainer.h"
#include "train/watched_layers.h"

namespace gaggle {

class JointStep {
 public:
  explicit JointStep(std::span<const StepPart> parts);
  std::vector<StepResult> make(StepStatus status);

 private:
  struct Part {
    std::vector<Sample> samples;  // whose task counts those of the parts before it
    std::vector<float> weights;   // of a target token of each
    int64_t first_task = 0, tasks = 0;
  };
  void run_lanes();
  std::vector<Microbatch> microbatches_of_lane(int64_t lane) const;
  void make_idle_passes(int64_t count);
  // Of a micro-batch; its nll. T-Few's losses are added to `losses` here.
  at::Tensor forward_backward(const Microbatch& batch, SiteAdapter& adapter, std::span<double> losses);
  void begin_sending();
  // Sums of the layers that were not sent yet go on their way, down to this one.
  void send_layers(int down_to, bool failed);
  std::vector<double> losses_of(const Part& part) const;
  void with_less_memory(const std::exception_ptr& failure);
  SiteAdapter& adapter() { return pack_ ? static_cast<SiteAdapter&>(*pack_) : parts_[0].trainer.adapter_; }
  const StepSettings& settings() const { return parts_[0].trainer.settings_; }

  std::span<const StepPart> parts_;
  BaseModel& base_;
  Communicator& group_;
  LaneRange run_;  // of this rank
  std::vector<Part> own_;
  int64_t tasks_ = 0;                  // of all
  std::unique_ptr<PackAdapter> pack_;  // null: one trainer, whose adapter sits on the sites by itself
  std::vector<double> losses_;         // [lanes of this rank × tasks]
  double flops_ = 0;
  int next_layer_ = -1;                 // of those that are sent early, the highest first
  std::unique_ptr<SideThread> beside_;  // sends them; null: none are
};

JointStep::JointStep(std::span<const StepPart> parts)
    : parts_(parts),
      base_(parts[0].trainer.base_),
      group_(parts[0].trainer.group_),
      run_(lanes_of_rank(group_.rank(), group_.size(), settings().lanes)) {
  std::vector<PairAdapter*> adapters;
  for (const auto& [trainer, batch, lr] : parts) {
    GAGGLE_CHECK(trainer.settings_.lanes == settings().lanes);
    Part& part = own_.emplace_back(Part{{batch.begin(), batch.end()}, {}, tasks_, trainer.tasks_});
    for (Sample& sample : part.samples) sample.task += static_cast<int>(tasks_);
    part.weights = loss_weights(batch, trainer.settings_.loss_average);
    tasks_ += part.tasks;
    adapters.push_back(dynamic_cast<PairAdapter*>(&trainer.adapter_));
    if (trainer.early_ && !beside_) beside_ = std::make_unique<SideThread>();
  }
  if (parts.size() == 1) return;
  for (const PairAdapter* adapter : adapters) GAGGLE_CHECK(adapter, "only pairs go in packs");
  pack_ = std::make_unique<PackAdapter>(adapters);
}

std::vector<Microbatch> JointStep::microbatches_of_lane(int64_t lane) const {
  std::vector<Sample> samples;
  std::vector<float> weights;
  for (const Part& part : own_) {
    const std::span<const Sample> of_lane = lane_samples(part.samples, lane, settings().lanes);
    const auto first = part.weights.begin() + (of_lane.data() - part.samples.data());
    samples.insert(samples.end(), of_lane.begin(), of_lane.end());
    weights.insert(weights.end(), first, first + static_cast<std::ptrdiff_t>(of_lane.size()));
  }
  return make_microbatches(samples, settings().tokens_per_microbatch, weights, settings().tfew);
}

void JointStep::run_lanes() {
  losses_.assign(static_cast<size_t>((run_.end - run_.begin) * tasks_), 0);
  flops_ = 0;
  PassedBatches passed;
  std::vector<std::vector<Microbatch>> of_lanes;
  int64_t passes = 0;
  for (int64_t lane = run_.begin; lane < run_.end; ++lane)
    passes += static_cast<int64_t>(of_lanes.emplace_back(microbatches_of_lane(lane)).size());
  const int64_t idle = idle_passes(base_, group_, passes);
  for (const StepPart& part : parts_) part.trainer.begin_lanes(part.batch);
  for (int64_t lane = run_.begin; lane < run_.end; ++lane) {
    for (const StepPart& part : parts_) part.trainer.set_gradients(part.trainer.sums_.begin_lane());
    if (pack_) pack_->gather();
    const auto of_lane =
        std::span(losses_).subspan(static_cast<size_t>((lane - run_.begin) * tasks_), static_cast<size_t>(tasks_));
    std::vector<Microbatch>& microbatches = of_lanes[static_cast<size_t>(lane - run_.begin)];
    const bool last = lane + 1 == run_.end;
    std::optional<WatchedLayers> watched;
    for (size_t i = 0; i < microbatches.size(); ++i) {
      if (beside_ && last && i + 1 == microbatches.size())
        watched.emplace(adapter(), base_.sites(), [&](int layer) { send_layers(layer, false); });
      flops_ += useful_flops(base_, microbatches[i]);
      const at::Tensor nll = forward_backward(microbatches[i], watched ? *watched : adapter(), of_lane);
      if (!settings().tfew) passed.add(nll, std::move(microbatches[i]), of_lane);
    }
    for (const StepPart& part : parts_) part.trainer.end_lane(last);
  }
  make_idle_passes(idle);
  passed.add_losses();
}

void JointStep::make_idle_passes(int64_t count) {
  if (count == 0) return;
  for (const StepPart& part : parts_) part.trainer.set_gradients({});
  if (pack_) pack_->gather();
  for (int64_t pass = 0; pass < count; ++pass)
    base_.forward_backward(idle_batch(own_[0].samples[0]), adapter(), {}, settings().dropout);
}

void JointStep::begin_sending() {
  next_layer_ = std::ranges::max(base_.sites(), {}, &Site::layer).layer;
  for (const StepPart& part : parts_)
    if (part.trainer.early_) part.trainer.early_->begin();
}

void JointStep::send_layers(int down_to, bool failed) {
  for (; next_layer_ >= down_to; --next_layer_)
    for (const StepPart& part : parts_)
      if (part.trainer.early_) part.trainer.early_->send(next_layer_, part.trainer.sums_, failed, *beside_);
}

at::Tensor JointStep::forward_backward(const Microbatch& batch, SiteAdapter& adapter, std::span<double> losses) {
  LossOptions options{settings().label_smoothing, {}};
  if (settings().tfew) {
    GAGGLE_CHECK(losses.size() == 1);
    options.weights = [&](const Microbatch& all, std::span<const float> nll, std::span<float> weights) {
      losses[0] += tfew_loss(all, nll, weights);
    };
  }
  return base_.forward_backward(batch, adapter, options, settings().dropout);
}

std::vector<double> JointStep::losses_of(const Part& part) const {
  std::vector<double> losses;
  for (int64_t lane = 0; lane < run_.end - run_.begin; ++lane) {
    const auto first = losses_.begin() + lane * tasks_ + part.first_task;
    losses.insert(losses.end(), first, first + part.tasks);
  }
  return losses;
}

// Every rank comes to the same answer: batches and budgets are alike.
void JointStep::with_less_memory(const std::exception_ptr& failure) {
  int64_t longest = 0;
  for (const StepPart& part : parts_)
    for (const Sample& sample : part.batch) longest = std::max(longest, fed_tokens(*sample.example));
  const int64_t before = settings().tokens_per_microbatch;
  if (before <= longest) {  // rows go one by one already
    if (failure) std::rethrow_exception(failure);
    system_error("memory ended on another rank of the group; its own message says where");
  }
  for (const StepPart& part : parts_) part.trainer.settings_.tokens_per_microbatch = std::max<int64_t>(1, before / 2);
  if (group_.rank() == 0)
    log::warning(
        "memory ended in a pass of up to {} tokens: from now on they are of {}, and the result will not be the same bits "
        "where there is more memory",
        before, settings().tokens_per_microbatch);
}

std::vector<StepResult> JointStep::make(StepStatus status) {
  for (;;) {
    StepStatus mine = status;
    std::exception_ptr failure;
    begin_sending();
    try {
      run_lanes();
    } catch (const std::exception& error) {
      failure = std::current_exception();  // the others wait to hear how this rank fares
      mine = is_out_of_memory(error) ? StepStatus::short_of_memory : StepStatus::failed;
      // The others stand in the middle of a pass, in which they want this rank's parts.
      if (base_.shards()) throw;
    }
    if (beside_) send_layers(0, failure != nullptr);
    StepStatus worst = StepStatus::failed;
    try {
      worst = worst_status(group_, mine);
    } catch (...) {
      if (!failure) throw;
    }
    if (worst == StepStatus::failed) std::rethrow_exception(failure);
    if (worst == StepStatus::short_of_memory) {
      with_less_memory(failure);
      continue;
    }
    std::vector<StepResult> results;
    for (size_t i = 0; i < parts_.size(); ++i) {
      const auto& [trainer, batch, lr] = parts_[i];
      results.push_back(trainer.finish(batch, losses_of(own_[i]), lr));
      results.back().status = worst;
    }
    double tokens = 0;
    for (const StepResult& result : results) tokens += static_cast<double>(result.tokens);
    for (StepResult& result : results) result.flops = flops_ * static_cast<double>(result.tokens) / tokens;
    return results;
  }
}

std::vector<StepResult> step_together(std::span<const StepPart> parts, StepStatus status) {
  return JointStep(parts).make(status);
}

}  // namespace gaggle
