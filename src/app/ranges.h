// Ranges of options' values, whose errors speak as those of the config's keys do.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <limits>

namespace gaggle {

CLI::Validator integer_from(int64_t least, int64_t most = std::numeric_limits<int64_t>::max());
CLI::Validator number_from(double least, double most = std::numeric_limits<double>::infinity());

}  // namespace gaggle
