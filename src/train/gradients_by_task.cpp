#include "train/gradients_by_task.h"

#include <algorithm>

#include "base/clock.h"
#include "base/error.h"
#include "base/table.h"
#include "kernel/skill_mixing.h"

namespace gaggle {

ParameterLayout layout_by_task(const PolySpec& spec, int64_t rows, bool per_example) {
  std::vector<ParameterInfo> tensors = trained_layout(spec).tensors();
  for (ParameterInfo& tensor : tensors)
    if (!is_router(tensor)) tensor.shape = {rows, per_example ? tensor.count : tensor.count / spec.skills};
  return ParameterLayout(std::move(tensors));
}

void refuse_too_much_apart(const CombineSettings& settings, uint64_t apart, uint64_t all, int64_t available) {
  const auto free = static_cast<uint64_t>(std::max<int64_t>(0, available));
  if (apart == 0 || available < 0 || all <= free || all - apart > free) return;
  user_error(
      "train.combine = \"{}\" keeps the gradients of up to {} of a step apart, {} on each rank: {} are needed in all, and {} "
      "are free. Smaller batches (train.batch_size) hold fewer tasks, with more ranks each has fewer lanes, and sum needs "
      "none of it",
      name_of(settings.how), plural(settings.most_tasks, "task"), bytes_text(apart), bytes_text(all), bytes_text(free));
}

GradientsByTask::GradientsByTask(SkillAdapter& adapter, int64_t most_tasks)
    : adapter_(adapter),
      rows_(most_tasks),
      per_example_(adapter.samples_per_example()),
      layout_(layout_by_task(adapter.spec(), most_tasks, per_example_)) {
  const PolySpec& spec = adapter.spec();
  tensors_.resize(layout_.tensors().size());
  for (const LoraSite& s : spec.sites) {
    std::vector<size_t>& of_site = tensors_of_site_.emplace_back();
    for (const std::string& name : skill_names(spec.skill)) {
      const ParameterInfo& info = layout_.at(s.site.name + name);
      of_site.push_back(static_cast<size_t>(&info - layout_.tensors().data()));
      TensorOfSkills& tensor = tensors_[of_site.back()];
      tensor.site = static_cast<int>(tensors_of_site_.size()) - 1;
      tensor.heads = per_example_ ? 1 : spec.heads;
      tensor.skills = per_example_ ? 1 : spec.skills;
      tensor.values = info.count / rows_ / tensor.heads;
    }
  }
}

void GradientsByTask::begin(std::span<const Sample> batch) {
  kept_apart_ = adapter_.by_task_seconds();
  tasks_.clear();
  for (const Sample& sample : batch) tasks_.push_back(sample.task);
  std::ranges::sort(tasks_);
  tasks_.erase(std::ranges::unique(tasks_).begin(), tasks_.end());
  GAGGLE_CHECK(static_cast<int64_t>(tasks_.size()) <= rows_, "{} tasks in a step for {} rows", tasks_.size(), rows_);
  routing_ = adapter_.routing_of(tasks_);
}

void GradientsByTask::set_gradients(const at::Tensor& flat) {
  lane_ = flat;
  adapter_.set_gradients_by_task(flat, layout_, [this](const WatchedGradient& gradient) { take(gradient); });
}

void GradientsByTask::take(const WatchedGradient& gradient) {
  const int64_t row = std::ranges::lower_bound(tasks_, gradient.task) - tasks_.begin();
  int64_t begin = 0;
  for (const size_t number : tensors_of_site_[gradient.site]) {
    const ParameterInfo& info = layout_.tensors()[number];
    const int64_t values = info.count / rows_;
    at::Tensor to = lane_.narrow(0, info.offset + row * values, values);
    if (per_example_ && !routing_.empty()) {  // routing has become uniform: the mixture's gradient goes to all skills
      const at::Tensor w = routing_[gradient.site][row].unsqueeze(2);  // [h, K, 1]
      const int64_t of_mixture = values / w.size(1);
      to.view({w.size(0), w.size(1), -1})
          .addcmul_(w, gradient.gradient.narrow(0, begin, of_mixture).view({w.size(0), 1, -1}));
      begin += of_mixture;
    } else {
      to.add_(gradient.gradient.narrow(0, begin, values));
      begin += values;
    }
  }
}

at::Tensor GradientsByTask::rows_of(const TensorOfSkills& tensor, const at::Tensor& sums) const {
  return sums.view({rows_, tensor.heads, tensor.values}).narrow(0, 0, static_cast<int64_t>(tasks_.size()));
}

at::Tensor GradientsByTask::mixing_of(const TensorOfSkills& tensor) const {
  if (!per_example_) return routing_[static_cast<size_t>(tensor.site)];
  return at::ones({static_cast<int64_t>(tasks_.size()), 1, 1}, adapter_.values().options());
}

at::Tensor GradientsByTask::gram_of(const std::vector<at::Tensor>& mine, const Owners& owners,
                                    Communicator& group) const {
  const auto tasks = static_cast<int64_t>(tasks_.size());
  at::Tensor by_tensor = at::zeros({static_cast<int64_t>(tensors_.size()), tasks, tasks}, at::kDouble);
  for (size_t i = 0; i < tensors_.size(); ++i) {
    if (!mine[i].defined() || tensors_[i].site < 0) continue;
    const at::Tensor by_head = rows_of(tensors_[i], mine[i]).transpose(0, 1).to(at::kDouble).contiguous();
    const at::Tensor products = at::bmm(by_head, by_head.transpose(1, 2));
    by_tensor[static_cast<int64_t>(i)].copy_(skill_gram(products, mixing_of(tensors_[i])));
  }
  gather_rows(by_tensor, owners.of_tensor, group);
  at::Tensor gram = at::zeros({tasks, tasks}, at::kDouble);
  for (size_t i = 0; i < tensors_.size(); ++i) gram.add_(by_tensor[static_cast<int64_t>(i)]);
  return gram;
}

GradientsByTask::Joined GradientsByTask::join(const at::Tensor& sums, const Owners& owners, const WeightsOf& weights_of,
                                              Communicator& group) {
  const double began = monotonic_seconds();
  std::vector<at::Tensor> mine(tensors_.size());  // sums of the tensors that this rank owns
  for (size_t i = 0, begin = 0; i < tensors_.size(); ++i) {
    if (owners.of_tensor[i] != group.rank()) continue;
    mine[i] = sums.narrow(0, static_cast<int64_t>(begin), layout_.tensors()[i].count);
    begin += static_cast<size_t>(mine[i].numel());
  }
  Joined joined{{}, tasks_, weights_of(gram_of(mine, owners, group))};
  const at::Tensor weights = at::tensor(joined.weights, at::kDouble).to(sums.options()).view({-1, 1, 1});
  std::vector<at::Tensor> parts;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const TensorOfSkills& tensor = tensors_[i];
    if (!mine[i].defined()) continue;
    if (tensor.site < 0) {
      parts.push_back(mine[i]);
      continue;
    }
    at::Tensor skills = at::zeros({tensor.heads, tensor.skills, tensor.values}, sums.options());
    const at::Tensor mixing = (mixing_of(tensor) * weights).contiguous();
    mix_skills_backward(rows_of(tensor, mine[i]).contiguous(), skills, mixing, skills, {});
    parts.push_back(skills.flatten());
  }
  joined.gradient = parts.empty() ? at::empty({0}, sums.options()) : at::cat(parts);
  joined.seconds = adapter_.by_task_seconds() - kept_apart_ + monotonic_seconds() - began;
  return joined;
}

}  // namespace gaggle
