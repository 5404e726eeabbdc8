// Which backends this build has: the one place of this room that asks.
#include "base/error.h"
#include "comm/communicator.h"
#include "comm/mpi_backend.h"

#ifdef GAGGLE_WITH_MPI
#include <mpi.h>

#include "comm/mpi_watchdog.h"
#if __has_include(<mpi-ext.h>)
#include <mpi-ext.h>
#endif
#endif

namespace gaggle {

#ifdef GAGGLE_WITH_MPI

namespace mpi {

bool survives_deaths() {
#ifdef OMPI_HAVE_MPI_EXT_FTMPI
  int started = 0, finished = 0, found = 0;
  void* value = nullptr;
  MPI_Initialized(&started);
  MPI_Finalized(&finished);
  if (!started || finished) return false;
  MPI_Comm_get_attr(MPI_COMM_WORLD, MPIX_FT, static_cast<void*>(&value), &found);
  return found && value && *static_cast<int*>(value) == 1;
#else
  return false;
#endif
}

std::set<int> failed_ranks([[maybe_unused]] MPI_Comm comm) {
  std::set<int> failed;
#ifdef OMPI_HAVE_MPI_EXT_FTMPI
  if (!survives_deaths()) return failed;
  MPI_Group dead, all;
  if (MPIX_Comm_get_failed(comm, &dead) != MPI_SUCCESS) return failed;
  MPI_Comm_group(comm, &all);
  int count = 0, acknowledged = 0;
  MPI_Group_size(dead, &count);
  for (int i = 0; i < count; ++i) {
    int rank = MPI_UNDEFINED;
    MPI_Group_translate_ranks(dead, 1, &i, all, &rank);
    failed.insert(rank);
  }
  if (count > 0) MPIX_Comm_ack_failed(comm, count, &acknowledged);
  MPI_Group_free(&dead);
  MPI_Group_free(&all);
#endif
  return failed;
}

}  // namespace mpi

bool built_with_mpi() {
  return true;
}
std::unique_ptr<Communicator> make_mpi_world(Deadlines deadlines) {
  return mpi::make_world(deadlines);
}
void bear_losses() {
  mpi::bear_losses();
}
std::vector<int> lost_ranks() {
  return mpi::lost_ranks();
}
std::string mpi_library_version() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING] = {};
  int length = 0;
  MPI_Get_library_version(text, &length);
  std::string version(text, static_cast<size_t>(length));  // "Open MPI v5.0.11, package: …"
  version = version.substr(0, version.find_first_of(",\n"));
  if (const size_t v = version.find(" v"); v != std::string::npos) version.erase(v + 1, 1);
  return version + (mpi::survives_deaths() ? " (ULFM)" : "");
}
Exit finish_mpi(Exit code, const std::string& message, bool said) {
  return mpi::finish(code, message, said);
}
bool mpi_is_running() {
  return mpi::is_running();
}
void end_mpi_job(const std::string& message) {
  mpi::end_job(message);
}
void set_mpi_chunk_bytes_for_test(size_t bytes) {
  mpi::set_chunk_bytes(bytes);
}

#else

bool built_with_mpi() {
  return false;
}
std::unique_ptr<Communicator> make_mpi_world(Deadlines) {
  user_error(
      "this gaggle was built without MPI: set MPI_HOME and build again, "
      "or start it as plain processes with --cluster.independent=true");
}
void bear_losses() {}
std::vector<int> lost_ranks() {
  return {};
}
std::string mpi_library_version() {
  return "no MPI";
}
Exit finish_mpi(Exit code, const std::string&, bool) {
  return code;
}
bool mpi_is_running() {
  return false;
}
void end_mpi_job(const std::string& message) {
  system_error("{}", message);
}
void set_mpi_chunk_bytes_for_test(size_t) {}

#endif

}  // namespace gaggle
