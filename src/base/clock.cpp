#include "base/clock.h"

#include <fmt/chrono.h>

namespace gaggle {

std::string utc_now() { return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr))); }

}  // namespace gaggle
