// The arithmetic of single elements, shared by the CPU loops (F: sixteen floats) and CUDA kernels (F: float).
#pragma once

#include "base/activation.h"
#include "kernel/platform.h"

namespace gaggle::element {

inline constexpr float gelu_linear = 1.5957691216f;  // 2 √(2/π)
inline constexpr float gelu_cubic = 0.0713548163f;   // 0.044715 · 2 √(2/π)

// run(activation) with the activation as a constant.
template <class Run>
void with_activation(Activation activation, const Run& run) {
  switch (activation) {
    case Activation::silu:
      return run(std::integral_constant<Activation, Activation::silu>());
    case Activation::gelu_tanh:
      return run(std::integral_constant<Activation, Activation::gelu_tanh>());
    case Activation::relu:
      return run(std::integral_constant<Activation, Activation::relu>());
  }
}

// The activations are g · s: s = σ(k(g)), k = g for silu, k = 2 √(2/π) (g + 0.044715 g³) for gelu_tanh
// (as ½ (1 + tanh z) = σ(2z)); for relu s is the step.
template <Activation activation, class F>
GAGGLE_SHARED void sigmoid_argument(const F& g, F& k) {
  if constexpr (activation == Activation::silu) {
    k = g;
  } else {
    const F low = F{} - 60.0f;  // σ(-60) is nothing beside 1; below, denormal numbers are slow
    k = g * (gelu_linear + gelu_cubic * (g * g));
    k = k < low ? low : k;
  }
}
// g · k'(g); none for relu, whose step has no slope.
template <Activation activation, class F>
GAGGLE_SHARED void sigmoid_slope(const F& g, F& slope) {
  if constexpr (activation == Activation::silu)
    slope = g;
  else if constexpr (activation == Activation::gelu_tanh)
    slope = g * (gelu_linear + 3.0f * gelu_cubic * (g * g));
  else
    slope = F{};
}
// s of relu: 1 where g > 0, else 0 (the gradient at 0 is 0).
template <class F>
GAGGLE_SHARED void step(const F& g, F& s) {
  s = g > F{} ? F{} + 1.0f : F{};
}

// y = act(g) u.
template <class F>
GAGGLE_SHARED void gated(const F& g, const F& s, const F& u, F& y) {
  y = g * s * u;
}
// d/dg = dy · u · s (1 + g k' (1 - s)), d/du = dy · g s.
template <Activation activation, class F>
GAGGLE_SHARED void gated_backward(const F& g, const F& s, const F& u, const F& dy, F& dg, F& du) {
  F slope;
  sigmoid_slope<activation>(g, slope);
  dg = dy * u * (s * (1.0f + slope * (1.0f - s)));
  du = dy * (g * s);
}

// The pair (a, b) of a head's two halves turned by the angle of (c, s).
template <class F>
GAGGLE_SHARED void rotate(const F& a, const F& b, const F& c, const F& s, F& ya, F& yb) {
  ya = a * c - b * s;
  yb = b * c + a * s;
}

// y = x r w with r = 1 / sqrt(mean x² + eps).
template <class F, class R>
GAGGLE_SHARED void rms_norm(const F& x, const R& r, const F& w, F& y) {
  y = (x * r) * w;
}
// dx = r (w dy) - x k with k = r³ mean(w dy x).
template <class F, class R>
GAGGLE_SHARED void rms_norm_backward(const F& x, const F& dy, const R& r, const R& k, const F& w, F& dx) {
  dx = (w * dy) * r - x * k;
}

}  // namespace gaggle::element
