// probe serve: one request a line on stdin → the exit code of it, a line on stdout. Loading LibTorch takes most of a short
// command's time, so the tests load it once: each request is a fork of this process, which has started no thread.
//   {"words": ["tokenize", …], "folder": where it runs, "in": path, "out": path, "err": path}
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>

#include "probe/probe.h"

namespace gaggle::probe {
namespace {

using Json = nlohmann::json;

void open_as(int number, const Json& path, int flags) {
  const int file = ::open(path.get<std::string>().c_str(), flags, 0600);
  if (file < 0 || ::dup2(file, number) < 0) std::abort();
  ::close(file);
}

[[noreturn]] void run_here(const Json& request) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // A run that does not end goes with the server, which the tests kill.
  if (::chdir(request.at("folder").get<std::string>().c_str()) != 0) std::abort();
  open_as(STDIN_FILENO, request.at("in"), O_RDONLY);
  open_as(STDOUT_FILENO, request.at("out"), O_WRONLY | O_CREAT | O_TRUNC);
  open_as(STDERR_FILENO, request.at("err"), O_WRONLY | O_CREAT | O_TRUNC);
  std::exit(run_command(request.at("words").get<std::vector<std::string>>()));
}

// A line of stdin, byte by byte: a request must not be read ahead into a buffer that its fork would take for its input.
bool read_line(std::string& line) {
  line.clear();
  for (char byte = 0; ::read(STDIN_FILENO, &byte, 1) == 1; line += byte)
    if (byte == '\n') return true;
  return false;
}

int serve(const std::vector<std::string>&) {
  for (std::string line; read_line(line);) {
    const pid_t child = ::fork();
    if (child < 0) return 1;
    if (child == 0) run_here(Json::parse(line));
    int status = 0;
    ::waitpid(child, &status, 0);
    std::printf("%d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
    std::fflush(stdout);
  }
  return 0;
}

const Register served("serve", serve);

}  // namespace
}  // namespace gaggle::probe
