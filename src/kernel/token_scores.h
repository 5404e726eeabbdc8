// The scores of every token and the k best of them, on a CPU: a few tokens at a time, in fp32, without a copy of x.
#pragma once

#include "kernel/routing.h"

namespace gaggle {

// What route() says, for x that on_cpu(); the site has candidates. Whatever stands beside a token, its bits are the same.
TokenRouting route_rows(const at::Tensor& x, const RoutedSite& site, Scoring scoring, int64_t k);

}  // namespace gaggle
