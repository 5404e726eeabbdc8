// What the records of a job's ranks say together: which rank did not come, and where the ranks parted.
#pragma once

#include <string>
#include <vector>

#include "comm/record_file.h"

namespace gaggle {

// In sentences, one a line: who left no record; the first collective in which ranks called different verbs, or
// gave different sizes where all must be equal; who waits in what, and where those are who never came.
// `reports`: at least one.
std::string divergence_text(const std::vector<RankReport>& reports);

}  // namespace gaggle
