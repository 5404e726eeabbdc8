// In place of the files mpi_*.cpp in a build without MPI.
#include "comm/mpi_job.h"

namespace gaggle {

std::unique_ptr<Communicator> make_mpi_world(Deadlines) {
  user_error(
      "this gaggle was built without MPI: set MPI_HOME and build again, or start it as plain processes with "
      "--cluster.independent=true");
}
void survive_losses() {}
std::vector<int> lost_ranks() { return {}; }
std::string mpi_library_version() { return "no MPI"; }
Exit finish_mpi(Exit code, const std::string&, bool) { return code; }
bool mpi_is_running() { return false; }
void end_mpi_job(const std::string& message) { system_error("{}", message); }
void set_mpi_chunk_bytes_for_test(size_t) {}

}  // namespace gaggle
