// A base of which a test needs nothing but its sites: it computes nothing.
#pragma once

#include "model/base_model.h"
#include "no_checkpoint.h"

namespace gaggle::test {

struct SitesOnly : BaseModel {
  explicit SitesOnly(const std::vector<Site>& sites)
      : BaseModel(NoCheckpoint(), sites, at::kFloat, at::kCPU, BaseUse::inference, Storage::dtype) {}
  at::Tensor forward(const Microbatch&, SiteAdapter*, KeyValueCache*) override { return {}; }
  at::Tensor forward_backward(const Microbatch&, SiteAdapter&, const LossOptions&, const BaseDropout&) override {
    return {};
  }
};

}  // namespace gaggle::test
