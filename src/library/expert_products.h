// How alike experts are as changes of the base's weights (as MBC groups them, Ostapenko et al., arXiv 2405.11157).
#pragma once

#include <ATen/ATen.h>

#include <span>
#include <string>

#include "formats/peft.h"

namespace gaggle {

// The Gram [N, N] fp64 of N LoRAs' changes of all weights, Σ_sites <s_i B_i A_i, s_j B_j A_j>, a site that one of them has
// not counting as 0. Never dense: <B_i A_i, B_j A_j> = tr((B_iᵀ B_j)(A_j A_iᵀ)), whatever their ranks. `names`: of the LoRAs,
// for messages. Throws UserError where two of them have a site with other widths.
at::Tensor expert_products(std::span<const PeftAdapter> loras, std::span<const std::string> names);

}  // namespace gaggle
