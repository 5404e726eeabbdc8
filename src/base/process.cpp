#include "base/process.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "base/sha256.h"

namespace gaggle {
namespace {

std::string first_line(const char* path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

struct Stat {
  char state = 0;  // 0: no such entry in /proc
  uint64_t start_ticks = 0;
};

// Fields 3 and 22 of /proc/PID/stat; the command in field 2 may hold blanks and brackets.
Stat stat_of(int64_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const size_t bracket = text.rfind(')');
  if (bracket == std::string::npos) return {};
  std::istringstream fields(text.substr(bracket + 1));
  Stat found;
  fields >> found.state;
  std::string skipped;
  for (int field = 4; field < 22; ++field) fields >> skipped;
  fields >> found.start_ticks;
  return found;
}

}  // namespace

const ProcessId& this_process() {
  static thread_local ProcessId self;
  if (self.pid != ::getpid()) {  // a forked child is another process
    std::array<char, 256> host{};
    ::gethostname(host.data(), host.size() - 1);
    std::error_code hidden;
    const std::string pids = std::filesystem::read_symlink("/proc/self/ns/pid", hidden).string();
    self = {host.data(), first_line("/proc/sys/kernel/random/boot_id") + " " + pids, ::getpid(),
            stat_of(::getpid()).start_ticks};
  }
  return self;
}

Life life_of(const ProcessId& process) {
  const ProcessId& self = this_process();
  if (process.kernel != self.kernel || process.kernel.size() < 2 || process.pid <= 0) return Life::unknown;
  if (::kill(static_cast<pid_t>(process.pid), 0) != 0 && errno == ESRCH) return Life::gone;
  const Stat now = stat_of(process.pid);
  if (now.state == 0) return Life::unknown;  // /proc may hide the processes of others
  if (now.state == 'Z' || now.state == 'X') return Life::gone;
  return now.start_ticks == process.start_ticks ? Life::alive : Life::gone;
}

std::string file_tag(const ProcessId& process) {
  return fmt::format("{}-{}-{}", sha256_hex(process.kernel).substr(0, 12), process.pid, process.start_ticks);
}

Life life_of_tag(const std::string& text) {
  std::string words = text, kernel;
  std::replace(words.begin(), words.end(), '-', ' ');
  std::istringstream fields(words);
  ProcessId process = this_process();
  if (!(fields >> kernel >> process.pid >> process.start_ticks) || kernel != sha256_hex(process.kernel).substr(0, 12))
    return Life::unknown;
  return life_of(process);
}

}  // namespace gaggle
