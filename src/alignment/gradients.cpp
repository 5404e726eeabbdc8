#include "alignment/gradients.h"

#include "base/error.h"

namespace gaggle {

int64_t values_of(std::span<const AlignedSite> sites) {
  int64_t values = 0;
  for (const AlignedSite& site : sites) {
    GAGGLE_CHECK(site.offset == values, "{} begins at {}, not {}", site.name, site.offset, values);
    values += site.size();
  }
  return values;
}

}  // namespace gaggle
