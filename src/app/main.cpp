// gaggle: command line → config → command → exit code.
#include <cstdio>
#include <cstdlib>

#include "app/program.h"

// Read by jemalloc, where gaggle is linked with it. Every batch asks for the memory that the last one freed: keeping it,
// in huge pages, spares page faults that cost a fifth of the speed and more.
extern "C" {
const char* malloc_conf = "dirty_decay_ms:-1,oversize_threshold:0,thp:always";
}

int main(int argc, char** argv) {
  const int code = gaggle::run_program(argc, argv);
  // Not by return: where a rank was lost, what MPI does at the end of a process may wait for it for good.
  std::fflush(nullptr);
  std::_Exit(code);
}
