// gaggle: command line → config → command → exit code; and what libraries are told before they begin.
#include <unistd.h>

#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "app/program.h"

// Read by jemalloc, where gaggle is linked with it. Every batch asks for the memory that the last one freed: keeping it,
// in huge pages, spares page faults that cost a fifth of the speed and more. A large piece is cut for a small tensor whatever
// their sizes (jemalloc stops at 64 times): else every batch takes some fresh memory, and the process grows from step to step.
extern "C" {
const char* malloc_conf = "dirty_decay_ms:-1,oversize_threshold:0,thp:always,lg_extent_max_active_fit:63";
}

namespace {

bool is_setting(const char* entry, const char* name) {
  const size_t length = std::strlen(name);
  return std::strncmp(entry, name, length) == 0 && entry[length] == '=';
}

// Threads that wait for each other spin before they sleep, in GNU OpenMP for 300,000 turns. On idle cores that gains
// nothing that could be measured over 1,000; on busy ones they spin where the thread that they wait for could run, and
// two threads beside two busy processes train half as fast, or not at all. OpenMP reads its settings from the environment
// before main: so the program starts itself again with this one before any library begins, which takes 0.04 s.
void start_with_short_waits(int, char** argv, char** environment) {
  static char setting[] = "GOMP_SPINCOUNT=1000", program[PATH_MAX + 1];
  size_t count = 0;
  for (; environment[count]; ++count)
    if (is_setting(environment[count], "GOMP_SPINCOUNT") || is_setting(environment[count], "OMP_WAIT_POLICY")) return;
  if (readlink("/proc/self/exe", program, PATH_MAX) <= 0) return;
  auto** extended = static_cast<char**>(__builtin_alloca((count + 2) * sizeof(char*)));
  std::memcpy(extended, environment, count * sizeof(char*));
  extended[count] = setting;
  extended[count + 1] = nullptr;
  execve(program, argv, extended);  // where that fails, all goes on as it would have
}

__attribute__((section(".preinit_array"), used)) void (*const before_libraries)(int, char**,
                                                                                char**) = start_with_short_waits;

}  // namespace

int main(int argc, char** argv) {
  const int code = gaggle::run_program(argc, argv);
  // Not by return: where a rank was lost, what MPI does at the end of a process may wait for it for good.
  std::fflush(nullptr);
  std::_Exit(code);
}
