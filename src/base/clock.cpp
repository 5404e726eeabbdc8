#include "base/clock.h"

#include <fmt/chrono.h>
#include <sys/resource.h>

namespace gaggle {

namespace {

const double begun = monotonic_seconds();

}  // namespace

double seconds_since_start() { return monotonic_seconds() - begun; }

double processor_seconds() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

std::string utc_now() { return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr))); }

}  // namespace gaggle
