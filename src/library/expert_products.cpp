#include "library/expert_products.h"

#include <map>

#include "base/error.h"

namespace gaggle {
namespace {

// A site of those LoRAs that have it.
struct SharedSite {
  std::vector<int64_t> experts;  // ascending
  std::vector<const PeftSite*> sites;
};

std::map<std::string, SharedSite> sites_by_name(std::span<const PeftAdapter> loras) {
  std::map<std::string, SharedSite> by_name;
  for (size_t i = 0; i < loras.size(); ++i) {
    GAGGLE_CHECK(loras[i].kind == PeftKind::lora);
    for (const PeftSite& site : loras[i].sites) {
      by_name[site.site].experts.push_back(static_cast<int64_t>(i));
      by_name[site.site].sites.push_back(&site);
    }
  }
  return by_name;
}

at::Tensor doubles_of(const PeftTensor& tensor) {
  return at::from_blob(const_cast<float*>(tensor.values.data()), tensor.shape, at::kFloat).to(at::kDouble);
}

// The site's part of the Gram, [n, n] for the n LoRAs that have it: with the rows of all A and the columns of all B side by
// side, the sums over blocks of (B'ᵀ B') ∘ (A' A'ᵀ), B' = s B.
at::Tensor products_at(const SharedSite& shared) {
  std::vector<at::Tensor> a, b;
  std::vector<int64_t> owner;  // of each row of A
  for (size_t i = 0; i < shared.sites.size(); ++i) {
    const PeftSite& site = *shared.sites[i];
    a.push_back(doubles_of(site.tensors[0]));
    b.push_back(doubles_of(site.tensors[1]) * site.scale);
    owner.insert(owner.end(), static_cast<size_t>(a.back().size(0)), static_cast<int64_t>(i));
  }
  const at::Tensor rows = at::cat(a), columns = at::cat(b, 1), owners = at::tensor(owner, at::kLong);
  const at::Tensor products = at::mm(columns.t(), columns) * at::mm(rows, rows.t());
  const auto n = static_cast<int64_t>(shared.sites.size());
  const at::Tensor half = at::zeros({n, products.size(1)}, at::kDouble).index_add_(0, owners, products);
  return at::zeros({n, n}, at::kDouble).index_add_(1, owners, half);
}

}  // namespace

at::Tensor expert_products(std::span<const PeftAdapter> loras, std::span<const std::string> names) {
  GAGGLE_CHECK(loras.size() == names.size());
  const auto count = static_cast<int64_t>(loras.size());
  at::Tensor gram = at::zeros({count, count}, at::kDouble);
  for (const auto& [name, shared] : sites_by_name(loras)) {
    const auto first = static_cast<size_t>(shared.experts[0]);
    const PeftWidths widths = widths_of(loras[first], *shared.sites[0]);
    for (size_t i = 1; i < shared.sites.size(); ++i) {
      const auto other = static_cast<size_t>(shared.experts[i]);
      const PeftWidths theirs = widths_of(loras[other], *shared.sites[i]);
      if (theirs.in != widths.in || theirs.out != widths.out)
        user_error("{} and {} are of different bases: {} is {} wide in and {} out in one, {} and {} in the other",
                   names[first], names[other], name, widths.in, widths.out, theirs.in, theirs.out);
    }
    const at::Tensor at_site = at::tensor(shared.experts, at::kLong);
    const at::Tensor part = at::zeros({static_cast<int64_t>(shared.experts.size()), count}, at::kDouble)
                                .index_add_(1, at_site, products_at(shared));
    gram.index_add_(0, at_site, part);
  }
  return gram;
}

}  // namespace gaggle
