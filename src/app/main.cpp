// gaggle: command line → config → command → exit code; and what libraries are told before they begin.
#include <unistd.h>

#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>

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

// A setting that libraries read from the environment before main, and under which names the user may have given it.
struct LibrarySetting {
  const char* setting;
  const char* names[2];
};
constexpr LibrarySetting library_settings[] = {
    // Threads that wait for each other spin before they sleep, in GNU OpenMP for 300,000 turns. On idle cores that gains
    // nothing that could be measured over 1,000; on busy ones they spin where the thread that they wait for could run, and
    // two threads beside two busy processes train half as fast, or not at all.
    {"GOMP_SPINCOUNT=1000", {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}},
    // Micro-batches have many sizes: what LibTorch keeps of a GPU's memory must not be torn into pieces by them.
    {"PYTORCH_ALLOC_CONF=expandable_segments:True", {"PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"}},
};

// The program starts itself again with what is missing, before any library begins, which takes 0.04 s.
void start_with_library_settings(int, char** argv, char** environment) {
  constexpr size_t most = std::size(library_settings);
  static char program[PATH_MAX + 1];
  const char* missing[most];
  size_t count = 0, added = 0;
  while (environment[count]) ++count;
  for (const LibrarySetting& wanted : library_settings) {
    bool given = false;
    for (size_t i = 0; i < count; ++i)
      for (const char* name : wanted.names) given = given || is_setting(environment[i], name);
    if (!given) missing[added++] = wanted.setting;
  }
  if (added == 0 || readlink("/proc/self/exe", program, PATH_MAX) <= 0) return;
  auto** extended = static_cast<char**>(__builtin_alloca((count + most + 1) * sizeof(char*)));
  std::memcpy(extended, environment, count * sizeof(char*));
  for (size_t i = 0; i < added; ++i) extended[count + i] = const_cast<char*>(missing[i]);
  extended[count + added] = nullptr;
  execve(program, argv, extended);  // where that fails, all goes on as it would have
}

__attribute__((section(".preinit_array"), used)) void (*const before_libraries)(int, char**,
                                                                                char**) = start_with_library_settings;

}  // namespace

int main(int argc, char** argv) {
  const int code = gaggle::run_program(argc, argv);
  // Not by return: where a rank was lost, what MPI does at the end of a process may wait for it for good.
  std::fflush(nullptr);
  std::_Exit(code);
}
