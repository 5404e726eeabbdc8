// What the forward and backward passes of T5's blocks share.
#pragma once

#include "formats/checkpoint.h"
#include "kernel/gated.h"
#include "model/site.h"

namespace gaggle {

// The feed-forward's activation; up is undefined where it is not gated.
inline at::Tensor t5_activation(const ModelSpec& spec, const at::Tensor& gate, const at::Tensor& up) {
  return spec.gated ? gated(spec.activation, gate, up) : activated(spec.activation, gate);
}
// gate and up ← their gradients.
inline void t5_activation_backward_(const ModelSpec& spec, at::Tensor& gate, at::Tensor& up, const at::Tensor& dy) {
  if (spec.gated)
    gated_backward_(spec.activation, gate, up, dy);
  else
    activated_backward_(spec.activation, gate, dy);
}

// Where T5 drops values in training: numbers that name the places, so that each has noise of its own.
namespace t5_places {
inline constexpr uint64_t embedding = 0, final_norm = 1;
inline uint64_t probabilities(const AdaptedLinear& o) {  // of the attention that o reads
  return 4 + 4 * static_cast<uint64_t>(o.site.index);
}
inline uint64_t activation(const AdaptedLinear& wo) {  // what wo reads
  return 5 + 4 * static_cast<uint64_t>(wo.site.index);
}
inline uint64_t block(const AdaptedLinear& last) {  // what a block adds to the stream
  return 6 + 4 * static_cast<uint64_t>(last.site.index);
}
}  // namespace t5_places

}  // namespace gaggle
