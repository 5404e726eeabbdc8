// The gradients that an adapter shows its watcher, added up by task as flat tensors, site after site.
#pragma once

#include <map>

#include "adapter/poly_adapter.h"

namespace gaggle::test {

struct Watched {
  std::map<int, at::Tensor> all, even;
  std::vector<int64_t> offsets;  // of the sites
  int64_t size = 0;

  void watch(PolyAdapter& adapter) {
    offsets.clear();
    size = 0;
    for (const WatchedSite& s : adapter.watched_sites()) {
      offsets.push_back(size);
      size += adapter.spec().heads * (s.a_size + s.b_size);
    }
    adapter.watch([this](const WatchedGradient& g) {
      at::Tensor& flat = (g.even ? even : all)[g.task];
      if (!flat.defined()) flat = at::zeros({size}, g.gradient.options());
      flat.narrow(0, offsets[g.site], g.gradient.numel()).add_(g.gradient);
    });
  }
};

}  // namespace gaggle::test
