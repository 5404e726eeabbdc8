#include "adapter/pack.h"

namespace gaggle {

PackAdapter::PackAdapter(std::span<PairAdapter* const> members) : members_(members.begin(), members.end()) {}

void PackAdapter::gather() {
  joined_.sites.clear();
  for (size_t m = 0; m < members_.size(); ++m) {
    const std::vector<PairsOfSite>& own = members_[m]->on_sites().sites;
    if (own.size() > joined_.sites.size()) joined_.sites.resize(own.size());
    for (size_t site = 0; site < own.size(); ++site) {
      if (own[site].pairs.empty()) continue;
      joined_.sites[site].pairs.resize(members_.size());
      joined_.sites[site].grads.resize(members_.size());
      joined_.sites[site].pairs[m] = own[site].pairs[0];
      joined_.sites[site].grads[m] = own[site].grads[0];
    }
  }
}

}  // namespace gaggle
