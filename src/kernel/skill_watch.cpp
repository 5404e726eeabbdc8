// What a watcher of skills in training is shown: a task's gradient by site, whichever products the micro-batch took.
#include "base/clock.h"
#include "kernel/skill_mixing.h"
#include "kernel/skill_products.h"

namespace gaggle {

// Samples that were multiplied by all skills: each task's tokens once more.
void SkillProducts::show_stacked(size_t number, const at::Tensor& x, const at::Tensor& dy, const at::Tensor& w,
                                 GradientWatch& watch) const {
  const Stopwatch watching(watch.seconds());
  const StackedSkills& skills = stacked_[number];
  const auto show = [&](const std::vector<Segment>& segments, bool even) {
    for (const Segment& s : segments) {
      const int64_t n = s.end - s.begin;
      if (n == 0) continue;
      const StackedGrad to{at::zeros(skills.a.sizes(), wide_), at::zeros(skills.b.sizes(), wide_), {}};
      stacked_skills_backward(x.narrow(0, s.begin, n), dy.narrow(0, s.begin, n), {}, w.narrow(0, s.begin, n), skills,
                              to);
      watch.show({s.member, even, number, at::cat({to.a.flatten(), to.b.flatten()})});
    }
  };
  const MixtureTokens& tokens = tokens_[sites_[number].side];
  show(tokens.task_segments, false);
  if (watch.halves) show(tokens.even_task_segments, true);
}

// Tasks with one mixture each: what was added up for it.
void SkillProducts::show_tasks(std::span<SkillMixture* const> mixtures, GradientWatch& watch) const {
  for (size_t s = 0; s < sites_.size(); ++s)
    for (const bool even : {false, true}) {
      if (even && !watch.halves) continue;
      const Gradients gradients = mixed_gradients(s, mixtures, even);
      for (size_t m = 0; m < mixtures.size(); ++m) {
        const auto row = static_cast<int64_t>(m);
        watch.show({mixtures[m]->task, even, s, at::cat({gradients.a[row].flatten(), gradients.b[row].flatten()})});
      }
    }
}

// Samples with a mixture each: its gradient, dealt out to the skills.
void SkillProducts::show_samples(std::span<SkillMixture* const> mixtures, const at::Tensor& w,
                                 GradientWatch& watch) const {
  for (size_t s = 0; s < sites_.size(); ++s) {
    const SkillSite& site = sites_[s];
    const Gradients gradients = mixed_gradients(s, mixtures, false);
    for (size_t m = 0; m < mixtures.size(); ++m) {
      const auto row = static_cast<int64_t>(m);
      const at::Tensor of_mixture = w[site.router].narrow(0, row, 1);
      const at::Tensor a = at::zeros_like(site.a), b = at::zeros_like(site.b);
      mix_skills_backward(gradients.a.narrow(0, row, 1), site.a, of_mixture, a, {});
      mix_skills_backward(gradients.b.narrow(0, row, 1), site.b, of_mixture, b, {});
      WatchedGradient watched{mixtures[m]->task, false, s, at::cat({a.flatten(), b.flatten()})};
      watch.show(watched);
      watched.even = true;
      if (mixtures[m]->even) watch.show(watched);
    }
  }
}

}  // namespace gaggle
