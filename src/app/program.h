// The program from its words to its exit code: mistakes are said once, whatever the number of ranks, and every rank says
// goodbye to the others.
#pragma once

namespace gaggle {

// Returns the exit code; docs/architecture.md says what each promises. The process is to be left by _exit after it.
int run_program(int argc, char** argv);

}  // namespace gaggle
