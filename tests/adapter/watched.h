// The gradients that an adapter shows its watcher, added up by task as flat tensors, site after site.
#pragma once

#include <map>

#include "adapter/skill_adapter.h"

namespace gaggle::test {

struct Watched {
  std::map<int, at::Tensor> all, even;
  std::vector<int64_t> offsets;  // of the sites
  int64_t size = 0;

  void watch(SkillAdapter& adapter) {
    offsets.clear();
    size = 0;
    for (const LoraSite& s : adapter.spec().sites) {
      offsets.push_back(size);
      const WatchedSizes sizes = adapter.watched_sizes(s);
      size += adapter.spec().heads * (sizes.a + sizes.b);
    }
    adapter.watch([this](const WatchedGradient& g) {
      at::Tensor& flat = (g.even ? even : all)[g.task];
      if (!flat.defined()) flat = at::zeros({size}, g.gradient.options());
      flat.narrow(0, offsets[g.site], g.gradient.numel()).add_(g.gradient);
    });
  }
};

}  // namespace gaggle::test
