#include "library/shared_sites.h"

#include "base/error.h"

namespace gaggle {

std::map<std::string, SharedSite> shared_sites(std::span<const PeftAdapter> loras, std::span<const std::string> names) {
  GAGGLE_CHECK(loras.size() == names.size());
  std::map<std::string, SharedSite> by_name;
  for (size_t i = 0; i < loras.size(); ++i) {
    GAGGLE_CHECK(loras[i].kind == PeftKind::lora);
    for (const PeftSite& site : loras[i].sites) {
      SharedSite& shared = by_name[site.site];
      shared.experts.push_back(static_cast<int64_t>(i));
      shared.sites.push_back(&site);
      const auto first = static_cast<size_t>(shared.experts[0]);
      const PeftWidths widths = widths_of(loras[first], *shared.sites[0]), theirs = widths_of(loras[i], site);
      if (theirs.in != widths.in || theirs.out != widths.out)
        user_error("{} and {} are of different bases: {} is {} wide in and {} out in one, {} and {} in the other",
                   names[first], names[i], site.site, widths.in, widths.out, theirs.in, theirs.out);
    }
  }
  return by_name;
}

at::Tensor doubles_of(const PeftTensor& tensor) {
  return at::from_blob(const_cast<float*>(tensor.values.data()), tensor.shape, at::kFloat).to(at::kDouble);
}

}  // namespace gaggle
