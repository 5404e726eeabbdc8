#include "model/cache.h"

#include <algorithm>
#include <utility>

namespace gaggle {

void KeyValueCache::reserve(int64_t layers, int64_t more, int64_t width, const at::TensorOptions& options) {
  const int64_t need = length + more;
  for (std::vector<at::Tensor>* pool : {&keys, &values}) {
    pool->resize(static_cast<size_t>(layers));
    for (at::Tensor& rows : *pool) {
      if (rows.defined() && rows.size(0) >= need) continue;
      const int64_t capacity = rows.defined() ? std::max(need, 2 * rows.size(0)) : need;
      at::Tensor wider = at::empty({capacity, width}, options);
      if (length > 0) wider.narrow(0, 0, length).copy_(rows.narrow(0, 0, length));
      rows = wider;
    }
  }
}

void KeyValueCache::append(size_t layer, at::Tensor& k, at::Tensor& v) {
  for (const auto& [pool, rows] : {std::pair(&keys[layer], &k), std::pair(&values[layer], &v)}) {
    pool->narrow(0, length, rows->size(0)).copy_(*rows);
    *rows = *pool;
  }
}

}  // namespace gaggle
