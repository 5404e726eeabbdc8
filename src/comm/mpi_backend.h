// What the MPI files offer to the factory; built only where an MPI was found.
#pragma once

#include <memory>
#include <string>

#include "comm/communicator.h"

namespace gaggle::mpi {

std::unique_ptr<Communicator> make_world(Deadlines deadlines);
void bear_losses();
std::vector<int> lost_ranks();
Exit finish(Exit code, const std::string& message, bool said);
bool is_running();
[[noreturn]] void end_job(const std::string& message);
void set_chunk_bytes(size_t bytes);

}  // namespace gaggle::mpi
