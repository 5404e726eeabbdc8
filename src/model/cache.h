// Keys and values of rows already seen: a pool of rows per layer, which Microbatch::past names.
#pragma once

#include <ATen/ATen.h>

#include <vector>

namespace gaggle {

struct KeyValueCache {
  std::vector<at::Tensor> keys, values;  // per layer [capacity, kv_heads · head_dim]
  int64_t length = 0;                    // rows in use; a pass appends its T rows
  // Cross-attention's, of the sources that were encoded into this cache: per layer [E, heads · head_dim].
  std::vector<at::Tensor> source_keys, source_values;
  std::vector<int64_t> source_starts;  // [sources + 1]; Microbatch::sources counts them

  // Room for `more` rows of this width in every layer's pool; capacity doubles.
  void reserve(int64_t layers, int64_t more, int64_t width, const at::TensorOptions& options);
  // A layer's keys, or values, with the rows' own appended: the whole pool. (`length` is raised by the pass.)
  at::Tensor append(std::vector<at::Tensor>& pool, size_t layer, const at::Tensor& own) const;
};

}  // namespace gaggle
