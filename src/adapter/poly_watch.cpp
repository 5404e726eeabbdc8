// What a watcher of Poly / MHR is shown: a task's gradient by site, however the micro-batch was multiplied.
#include "adapter/poly_adapter.h"
#include "base/clock.h"
#include "kernel/skill_mixing.h"

namespace gaggle {

// Samples that were multiplied by all skills: each task's rows once more.
void PolyAdapter::report_stacked(const Place& place, const at::Tensor& x, const at::Tensor& dy,
                                 const at::Tensor& w) {
  const Stopwatch watching(watching_seconds_);
  const auto number = static_cast<size_t>(&place - places_.data());
  const auto report = [&](const std::vector<Segment>& segments, bool even) {
    for (const Segment& s : segments) {
      const int64_t n = s.end - s.begin;
      if (n == 0) continue;
      StackedGrad to{at::zeros(place.stacked.a.sizes(), values_.options()),
                     at::zeros(place.stacked.b.sizes(), values_.options()),
                     {}};
      stacked_skills_backward(x.narrow(0, s.begin, n), dy.narrow(0, s.begin, n), {}, w.narrow(0, s.begin, n),
                              place.stacked, to);
      watched_({s.member, even, number, at::cat({to.a.flatten(), to.b.flatten()})});
    }
  };
  const RowMixtures& rows = rows_[place.lora.site.side];
  report(rows.task_segments, false);
  report(rows.even_task_segments, true);
}

// Tasks with one mixture each: what was added up for it.
void PolyAdapter::report_mixed(std::span<Mixture* const> mixtures) {
  const Stopwatch watching(watching_seconds_);
  for (size_t p = 0; p < places_.size(); ++p)
    for (const bool even : {false, true}) {
      const auto gradients = mixed_gradients(places_[p], mixtures, even);
      for (size_t m = 0; m < mixtures.size(); ++m) {
        const auto row = static_cast<int64_t>(m);
        watched_(
            {mixtures[m]->task, even, p, at::cat({gradients[0][row].flatten(), gradients[1][row].flatten()})});
      }
    }
}

// Samples with a mixture each: its gradient, dealt out to the skills.
void PolyAdapter::report_skills(std::span<Mixture* const> mixtures, const at::Tensor& w) {
  const Stopwatch watching(watching_seconds_);
  for (size_t p = 0; p < places_.size(); ++p) {
    const Place& place = places_[p];
    const auto gradients = mixed_gradients(place, mixtures, false);
    for (size_t m = 0; m < mixtures.size(); ++m) {
      const auto row = static_cast<int64_t>(m);
      const at::Tensor its = w[static_cast<int64_t>(place.router)].narrow(0, row, 1);
      const at::Tensor a = at::zeros_like(place.a), b = at::zeros_like(place.b);
      mix_skills_backward(gradients[0].narrow(0, row, 1), place.a, its, a, {});
      mix_skills_backward(gradients[1].narrow(0, row, 1), place.b, its, b, {});
      WatchedGradient watched{mixtures[m]->task, false, p, at::cat({a.flatten(), b.flatten()})};
      watched_(watched);
      watched.even = true;
      if (mixtures[m]->of_even_sample) watched_(watched);
    }
  }
}

}  // namespace gaggle
