#include "app/program.h"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "app/command_line.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/long_phase.h"
#include "cluster/identity.h"
#include "cluster/stop.h"
#include "comm/mpi_job.h"

namespace gaggle {
namespace {

// Every rank sees the same mistake of the user: the first says it. Another rank leaves its own to its goodbye,
// from which the first learns what it has not seen itself; without MPI it waits a little: where the first has
// said it, the launcher ends this process meanwhile. Returns whether it was said.
bool say(const UserError& error) {
  if (launched_rank() > 0) {
    if (mpi_is_running()) return false;
    std::this_thread::sleep_for(std::chrono::seconds(1));
  }
  log::error("{}", error_text(error));
  return true;
}

int run_and_report(int argc, char** argv) {
  Exit code = Exit::done;
  std::string message;
  bool said = true;
  try {
    code = parse_command_line({argv + 1, argv + argc})();
  } catch (const UserError& error) {
    code = Exit::bad_input;
    message = error_text(error);
    said = say(error);
  } catch (const StopRequested& stop) {
    code = stop.code;
    log::info("stopped before anything was started: start again");
  } catch (const fs::filesystem_error& error) {
    message = fmt::format("{}: {}", error.path1().string(), error.code().message());
    code = is_the_users(error.code()) ? Exit::bad_input : Exit::failed;
    if (code == Exit::bad_input)
      said = say(UserError(message));
    else
      log::error("{}", message);
  } catch (const std::exception& error) {
    code = Exit::failed;
    message = error_text(error);
    log::error("{}", message);
  }
  if (const bool lost = std::fflush(stdout) != 0 || std::ferror(stdout); lost && code == Exit::done) {
    code = Exit::failed;
    message = "a part of what was printed could not be written to standard output";
    log::error("{}", message);
  }
  return static_cast<int>(finish_mpi(code, message, said));
}

// For the launch scripts: mpirun of Open MPI 5 ends with 0 when it has lost a host, so it cannot be asked how
// the job ended.
void leave_exit_code(int code) {
  const char* path = std::getenv("GAGGLE_EXIT_FILE");
  if (!path || launched_rank() != 0) return;
  try {
    write_file_atomic(path, fmt::format("{}\n", code));
  } catch (const std::exception& error) {
    log::warning("GAGGLE_EXIT_FILE: {}", error_text(error));
  }
}

}  // namespace

int run_program(int argc, char** argv) {
  std::signal(SIGXFSZ, SIG_IGN);  // a file that grows beyond the allowed size is an error with a message
  if (launched_rank() > 0) silence_long_phases();
  const int code = run_and_report(argc, argv);
  leave_exit_code(code);
  return code;
}

}  // namespace gaggle
