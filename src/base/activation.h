// The activations of feed-forward blocks: what a model's file says, a kernel computes.
#pragma once

namespace gaggle {

// Between the first and the last linear of a feed-forward block: silu(g) = g σ(g),
// gelu_tanh(g) = ½ g (1 + tanh(√(2/π) (g + 0.044715 g³))) (transformers' gelu_new), relu(g) = max(g, 0).
enum class Activation { silu, gelu_tanh, relu };

}  // namespace gaggle
