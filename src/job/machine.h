// What equal bits need besides the recipe: LibTorch's version, the processor or GPU, and the threads per rank.
#pragma once

#include <nlohmann/json.hpp>

#include "job/session.h"

namespace gaggle {

// {"libtorch": "2.11.0", "processor": "Intel(R) Xeon(R) …" or the GPU's name, "threads": 2}
nlohmann::json machine_of(const Session& session);

// Collective: all ranks must be alike. A difference is a warning that names the first odd rank, or with
// `strict` (run.strict) a UserError.
void check_machines_alike(const Session& session, bool strict);

// Collective: FLOP per second of this rank's matrix products while all ranks are busy, as they are later.
double measure_together(const Session& session, at::ScalarType dtype);

}  // namespace gaggle
