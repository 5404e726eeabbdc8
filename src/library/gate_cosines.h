// How alike experts are by their gates.
#pragma once

#include <ATen/ATen.h>

#include <span>
#include <string>

#include "formats/peft.h"

namespace gaggle {

// [N, N] fp64: the mean, over the sites where both experts have a gate, of the cosine of their standardised gates (by which
// PHATGOOSE routes, arXiv 2402.05859). NaN where there is no such site. A gate whose values are all equal has no direction
// and counts as none. Throws UserError where two gates of a site have other widths.
at::Tensor gate_cosines(std::span<const PeftAdapter> loras, std::span<const std::string> names);

}  // namespace gaggle
