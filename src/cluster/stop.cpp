#include "cluster/stop.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <mutex>
#include <string_view>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

namespace gaggle {
namespace {

volatile std::sig_atomic_t signalled = 0;

struct Watch {
  std::mutex mutex;
  std::filesystem::path file;
  bool on = false;       // watch_for_stop has been called
  double deadline = 0;   // monotonic seconds; 0: none
  double next_look = 0;  // at the file and at standard output
  std::optional<Exit> asked;
};

Watch& watch() {
  static Watch instance;
  return instance;
}

extern "C" void remember_signal(int signal) { signalled = signal; }

const char* signal_name(int signal) {
  return signal == SIGUSR1 ? "SIGUSR1" : signal == SIGUSR2 ? "SIGUSR2" : signal == SIGINT ? "SIGINT" : "SIGTERM";
}

// At Ctrl-C mpirun sends its ranks SIGTERM, drops whatever they say from then on, and kills them a second later. Where
// it has the terminal's foreground the first rank has something to say there itself.
bool under_mpirun_in_the_foreground(int terminal) {
  const char* rank = std::getenv("OMPI_COMM_WORLD_RANK");
  return signalled == SIGTERM && rank && std::string_view(rank) == "0" && terminal >= 0 &&
         ::tcgetpgrp(terminal) == ::getpgid(::getppid());
}

void tell_mpiruns_terminal(const std::string& text) {
  const Descriptor terminal(::open("/dev/tty", O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC));
  if (!under_mpirun_in_the_foreground(terminal.fd)) return;
  std::signal(SIGTTOU, SIG_IGN);  // or `stty tostop` would halt us
  const std::string line = "\n" + text + "\n";
  [[maybe_unused]] const ssize_t written = ::write(terminal.fd, line.data(), line.size());
}

constexpr double seconds_between_looks = 2;

// Whoever read what we print has gone (`gaggle … | head`). A terminal that was closed is another thing: a job may be meant
// to outlive it.
bool output_is_closed() {
  struct stat info {};
  if (::fstat(STDOUT_FILENO, &info) != 0 || !S_ISFIFO(info.st_mode)) return false;
  pollfd output{STDOUT_FILENO, POLLOUT, 0};
  return ::poll(&output, 1, 0) == 1 && (output.revents & POLLERR) != 0;
}

std::optional<Exit> look(Watch& state) {
  if (!state.on) return std::nullopt;
  if (signalled) {
    log::info("stop: signal {} came, saving and leaving{}", signal_name(signalled),
              signalled == SIGINT ? " (Ctrl-C once more ends at once, without saving)" : "");
    tell_mpiruns_terminal(
        "stop: saving what can be saved in the second that mpirun leaves; else the last checkpoint stays. Start again "
        "to go on (launch/local.sh lets the ranks save first)");
    return Exit::resumable;
  }
  const double now = monotonic_seconds();
  if (state.deadline > 0 && now >= state.deadline) {
    log::info("stop: run.max_minutes is over, saving and leaving");
    return Exit::resumable;
  }
  if (now < state.next_look) return std::nullopt;
  state.next_look = now + seconds_between_looks;
  std::error_code unreadable;
  if (!state.file.empty() && std::filesystem::exists(state.file, unreadable)) {
    log::info("stop: {} exists, saving and leaving; remove it to start again", state.file.string());
    return Exit::stopped;
  }
  if (output_is_closed()) {
    log::info("stop: nobody reads standard output any more, saving and leaving");
    return Exit::resumable;
  }
  return std::nullopt;
}

}  // namespace

void watch_for_stop(const std::filesystem::path& run_dir, double max_minutes) {
  struct sigaction action = {};
  action.sa_handler = remember_signal;
  action.sa_flags = SA_RESTART;
  ::sigemptyset(&action.sa_mask);
  for (const int signal : {SIGUSR1, SIGUSR2, SIGTERM}) ::sigaction(signal, &action, nullptr);
  // The second Ctrl-C does what it does everywhere. A shell starts what runs in the background deaf to SIGINT: so it stays.
  struct sigaction now = {};
  ::sigaction(SIGINT, nullptr, &now);
  action.sa_flags |= SA_RESETHAND;
  if (now.sa_handler != SIG_IGN && signalled != SIGINT) ::sigaction(SIGINT, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);  // a pipe that nobody reads is seen by look()
  Watch& state = watch();
  const std::lock_guard lock(state.mutex);
  state.file = run_dir.empty() ? "" : run_dir / "STOP";
  state.on = true;
  if (state.deadline == 0 && max_minutes > 0) state.deadline = monotonic_seconds() + 60 * max_minutes;
  state.next_look = 0;
}

std::optional<Exit> stop_requested() {
  Watch& state = watch();
  const std::lock_guard lock(state.mutex);
  if (!state.asked) state.asked = look(state);
  return state.asked;
}

void heed_stop_requests() {
  if (const auto stop = stop_requested()) throw StopRequested{*stop};
}

void say_saved() {
  const char* text = "stopped early, everything is saved: start again to go on";
  log::info("{}", text);
  tell_mpiruns_terminal(text);
}

void clear_stop_for_test() {
  Watch& state = watch();
  const std::lock_guard lock(state.mutex);
  signalled = 0;
  state.on = false;
  state.asked.reset();
  state.file.clear();
  state.deadline = state.next_look = 0;
}

}  // namespace gaggle
