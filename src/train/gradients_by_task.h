// The gradients of a step's tasks, kept apart over lanes and ranks until their Gram has said with which weights they are
// joined (combine.h). Apart are those of the skills, which tasks share. A row of a routing table is one task's own and
// gets that task's gradient as it is, as parameters of one task do in TorchJD's mtl_backward.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "adapter/skill_adapter.h"
#include "data/sampler.h"
#include "train/combine.h"
#include "train/exchange.h"

namespace gaggle {

// What lanes sum for so many tasks in a step (`rows`): the tensors that train, under their names. A skill tensor has a row
// for each task: of the task's mixture, [h, n] for a tensor [h, K, n], since task t's gradient of skill k is w^t_qk times
// that; `per_example` (routing samples are drawn for each example): all of [h, K, n].
ParameterLayout layout_by_task(const PolySpec& spec, int64_t rows, bool per_example);

// Throws UserError where the `apart` bytes of a rank for that are what makes `all` that it needs more than `available` (-1:
// not known).
void refuse_too_much_apart(const CombineSettings& settings, uint64_t apart, uint64_t all, int64_t available);

class GradientsByTask {
 public:
  // At most so many tasks in a step.
  GradientsByTask(SkillAdapter& adapter, int64_t most_tasks);
  ~GradientsByTask() { adapter_.set_gradients({}); }
  GradientsByTask(const GradientsByTask&) = delete;
  GradientsByTask& operator=(const GradientsByTask&) = delete;

  const ParameterLayout& layout() const { return layout_; }  // layout_by_task
  // A step over this batch begins.
  void begin(std::span<const Sample> batch);
  // A lane's gradients are added to `flat` [layout().size()] from here on.
  void set_gradients(const at::Tensor& flat);

  struct Joined {
    at::Tensor gradient;  // of the tensors that this rank owns, one after the other, as the adapter's layout has them
    std::vector<int> tasks;       // of the step, ascending …
    std::vector<double> weights;  // … and their weights
    double seconds = 0;           // that this rank took in this step to keep gradients apart and to join them
  };
  using WeightsOf = std::function<std::vector<double>(const at::Tensor& gram)>;  // [T, T] fp64 on the CPU
  // `sums`: over all lanes, of what this rank owns. Every rank comes to the same weights, on any number of ranks. Collective.
  Joined join(const at::Tensor& sums, const Owners& owners, const WeightsOf& weights_of, Communicator& group);

 private:
  // A tensor of the adapter's layout; a skill tensor's numbers are those of one task's row.
  struct TensorOfSkills {
    int site = -1;  // place in PolySpec::sites; -1: a routing table
    int64_t heads = 1, skills = 1, values = 0;
  };
  void take(const WatchedGradient& gradient);
  // [T, heads, values] of a tensor's sums, and the weights [T, heads, skills] that its tasks mix by.
  at::Tensor rows_of(const TensorOfSkills& tensor, const at::Tensor& sums) const;
  at::Tensor mixing_of(const TensorOfSkills& tensor) const;
  // Of all tensors, on every rank; `mine`: sums by tensor, undefined where another rank owns it.
  at::Tensor gram_of(const std::vector<at::Tensor>& mine, const Owners& owners, Communicator& group) const;

  SkillAdapter& adapter_;
  int64_t rows_;
  bool per_example_;  // rows are of the skills themselves
  ParameterLayout layout_;
  std::vector<TensorOfSkills> tensors_;               // as layout_'s
  std::vector<std::vector<size_t>> tensors_of_site_;  // A and B, or l: in a WatchedGradient's order
  std::vector<int> tasks_;                            // of this step
  double kept_apart_ = 0;                             // seconds before this step
  std::vector<at::Tensor> routing_;                   // of these, by site [T, h, K]; empty: each example has its own
  at::Tensor lane_;
};

}  // namespace gaggle
