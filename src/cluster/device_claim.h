// Which of a host's GPUs a process that nobody started among others calls its own: a lock by the GPU's UUID, which the
// system gives back however the process ends.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace gaggle {

// The first of these GPUs that no other process holds, held from now until this process ends; none: all are held. A GPU
// without a UUID, or one whose lock cannot be made, counts as free.
std::optional<size_t> claim_device(const std::vector<std::string>& uuids);

}  // namespace gaggle
