// Requests to stop: SIGUSR1/2 (checkpoint, exit 75), the STOP file (exit 4), run.max_minutes (exit 75).
#pragma once

#include <filesystem>
#include <optional>

#include "base/error.h"

namespace gaggle {

// Installs the handlers (they only set a flag) and remembers the STOP file and the deadline.
void watch_for_stop(const std::filesystem::path& run_dir, double max_minutes);

// Exit::resumable or Exit::stopped once a stop was asked for. Cheap: the file is looked at every 2 s at most.
std::optional<Exit> stop_requested();

void clear_stop_for_test();

}  // namespace gaggle
