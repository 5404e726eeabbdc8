// Requests to stop: SIGUSR1, SIGUSR2, SIGTERM, SIGINT, run.max_minutes, standard output that nobody reads any more (checkpoint,
// exit 75), and the STOP file (exit 4). A launcher may give a rank only a second after SIGTERM: then the last periodic
// checkpoint stays.
#pragma once

#include <filesystem>
#include <optional>

#include "base/error.h"

namespace gaggle {

// Unwinds the work that was under way when a stop was asked for. Whoever throws it has saved what is to be
// saved; where several ranks work together, all of them throw it.
struct StopRequested {
  Exit code;  // Exit::resumable or Exit::stopped
};

// Installs the handlers (they only set a flag) and remembers the STOP file and the deadline. May be called again when
// these are known: a signal that came before stays remembered, and the time runs from when it was first told.
void watch_for_stop(const std::filesystem::path& run_dir, double max_minutes);

// Exit::resumable or Exit::stopped once a stop was asked for. Cheap: the file and standard output are looked at
// every 2 s at most.
std::optional<Exit> stop_requested();
// Throws StopRequested once a stop was asked for: called between two pieces of work of a rank that works alone, and
// between the examples that are read before a job starts.
void heed_stop_requests();

// The last word of a job that was stopped, also to a terminal whose mpirun no longer passes on what ranks say.
void say_saved();

void clear_stop_for_test();

}  // namespace gaggle
