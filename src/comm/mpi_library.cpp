// What the MPI library is and can do. Whether it survives deaths (ULFM) is known once MPI runs.
#include <mpi.h>

#include "comm/mpi_job.h"
#include "comm/mpi_world.h"
#if __has_include(<mpi-ext.h>)
#include <mpi-ext.h>
#endif

namespace gaggle {
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

std::string mpi_library_version() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING] = {};
  int length = 0;
  MPI_Get_library_version(text, &length);
  std::string version(text, static_cast<size_t>(length));  // "Open MPI v5.0.11, package: …"
  version = version.substr(0, version.find_first_of(",\n"));
  if (const size_t v = version.find(" v"); v != std::string::npos) version.erase(v + 1, 1);
  return version + (mpi::survives_deaths() ? " (ULFM)" : "");
}

}  // namespace gaggle
