// The scores of every token and the k best of them, on a CPU: a few tokens at a time, in fp32, without a copy of x.
#pragma once

#include "kernel/routing.h"

namespace gaggle {

// What route() says, for x that on_cpu(); the site has candidates. Whatever stands beside a token, its bits are the
// same, and those of bf16 the same as of fp32.
TokenRouting route_rows(const at::Tensor& x, const RoutedSite& site, Scoring scoring, int64_t k);

// Many directions in bf16, for tokens in bf16: their products tell which few can be among the k best, and only those
// get scores in fp32. Undefined where that is no gain.
RoughDirections rough_directions(const at::Tensor& directions, at::ScalarType type);

}  // namespace gaggle
