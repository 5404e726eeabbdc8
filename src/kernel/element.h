// The arithmetic of single elements, shared by the CPU loops (F: sixteen floats) and the CUDA kernels (F:
// float).
#pragma once

#include "kernel/platform.h"

namespace gaggle::element {

// silu(g) · u, s = σ(g).
template <class F>
GAGGLE_SHARED void swiglu(const F& g, const F& s, const F& u, F& y) {
  y = g * s * u;
}
// d/dg = dy · u · s (1 + g (1 - s)), d/du = dy · g s.
template <class F>
GAGGLE_SHARED void swiglu_backward(const F& g, const F& s, const F& u, const F& dy, F& dg, F& du) {
  dg = dy * u * (s * (1.0f + g * (1.0f - s)));
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
