#include "library/gate_cosines.h"

#include <limits>
#include <map>

#include "base/error.h"

namespace gaggle {
namespace {

// The gates of a site without their means and of length 1, a row each; whose they are.
struct GatesOfSite {
  std::vector<int64_t> experts;
  std::vector<at::Tensor> rows;  // [d_in] fp64
};

std::map<std::string, GatesOfSite> gates_by_name(std::span<const PeftAdapter> loras,
                                                 std::span<const std::string> names) {
  std::map<std::string, GatesOfSite> gates;
  for (size_t z = 0; z < loras.size(); ++z)
    for (const PeftSite& site : loras[z].sites) {
      if (site.gate.empty()) continue;
      const at::Tensor v = at::tensor(site.gate, at::kFloat).to(at::kDouble), centred = v - v.mean();
      if (v.max().item<double>() == v.min().item<double>()) continue;
      GatesOfSite& of_site = gates[site.site];
      if (!of_site.rows.empty() && of_site.rows[0].size(0) != v.size(0))
        user_error("{} and {} are of different bases: the gate of {} is {} wide in one, {} in the other",
                   names[static_cast<size_t>(of_site.experts[0])], names[z], site.site, of_site.rows[0].size(0),
                   v.size(0));
      of_site.experts.push_back(static_cast<int64_t>(z));
      of_site.rows.push_back(centred / centred.norm());
    }
  return gates;
}

}  // namespace

at::Tensor gate_cosines(std::span<const PeftAdapter> loras, std::span<const std::string> names) {
  const auto count = static_cast<int64_t>(loras.size());
  at::Tensor sums = at::zeros({count, count}, at::kDouble), sites = at::zeros({count, count}, at::kDouble);
  for (const auto& [name, gates] : gates_by_name(loras, names)) {
    at::Tensor rows = at::zeros({count, gates.rows[0].size(0)}, at::kDouble), there = at::zeros({count}, at::kDouble);
    const at::Tensor experts = at::tensor(gates.experts, at::kLong);
    rows.index_copy_(0, experts, at::stack(gates.rows));
    there.index_fill_(0, experts, 1);
    sums += at::mm(rows, rows.t());
    sites += at::outer(there, there);
  }
  const at::Tensor none = at::full({}, std::numeric_limits<double>::quiet_NaN(), at::kDouble);
  return at::where(sites > 0, sums / sites, none);
}

}  // namespace gaggle
