// Keys and values of tokens already seen: a pool for each layer, whose rows Microbatch::past names.
#pragma once

#include <ATen/ATen.h>

#include <vector>

namespace gaggle {

struct KeyValueCache {
  std::vector<at::Tensor> keys, values;  // per layer [capacity, kv_heads · head_dim]
  int64_t length = 0;                    // rows in use; a pass appends one for each of its T tokens
  // Cross-attention's, of the sources that were encoded into this cache: per layer [E, heads · head_dim].
  std::vector<at::Tensor> source_keys, source_values;
  std::vector<int64_t> source_starts;  // [sources + 1]; Microbatch::sources are numbers of them

  // Makes room for `more` rows of this width in every layer's pool; capacity doubles.
  void reserve(int64_t layers, int64_t more, int64_t width, const at::TensorOptions& options);
  // k and v [T, width] of this pass come behind the layer's rows in use, and become its whole pools. (`length`
  // is raised at the end of the pass.)
  void append(size_t layer, at::Tensor& k, at::Tensor& v);
};

}  // namespace gaggle
