#include "library/expert_products.h"

#include "library/shared_sites.h"

namespace gaggle {
namespace {

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
  const auto count = static_cast<int64_t>(loras.size());
  at::Tensor gram = at::zeros({count, count}, at::kDouble);
  for (const auto& [name, shared] : shared_sites(loras, names)) {
    const at::Tensor at_site = at::tensor(shared.experts, at::kLong);
    const at::Tensor part = at::zeros({static_cast<int64_t>(shared.experts.size()), count}, at::kDouble)
                                .index_add_(1, at_site, products_at(shared));
    gram.index_add_(0, at_site, part);
  }
  return gram;
}

}  // namespace gaggle
