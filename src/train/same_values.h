// Whether all ranks hold the same values: a memory error or a missed update must not go unseen for days.
#pragma once

#include <cstdint>
#include <vector>

#include "adapter/parameters.h"
#include "comm/communicator.h"

namespace gaggle {

// A fingerprint of each tensor's bits, in the layout's order: Σ (2i+1)·(c + bits of value i) mod 2⁶⁴, exact in
// any order, so computed where the values lie. `flat`: fp32, of the layout's size.
std::vector<int64_t> fingerprints(const ParameterLayout& layout, const at::Tensor& flat);

// Collective: one message of 8 bytes a rank where all is well. Throws SystemError that names the odd rank (the
// one that differs from most) and the first tensor in which it does.
void check_same_values(Communicator& group, const ParameterLayout& layout, const at::Tensor& flat,
                       const std::string& phase, int64_t step);

}  // namespace gaggle
