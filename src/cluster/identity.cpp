#include "cluster/identity.h"

#include <unistd.h>

#include <cstdlib>
#include <optional>

#include "base/error.h"

namespace gaggle {
namespace {

std::optional<int> number_from(const char* name) {
  const char* text = std::getenv(name);
  if (!text || !*text) return std::nullopt;
  char* end = nullptr;
  const long value = std::strtol(text, &end, 10);
  if (*end != '\0' || value < 0 || value > 1'000'000'000)
    user_error("the environment has {}={}: a number was expected", name, text);
  return static_cast<int>(value);
}

int number_or(const char* name, int otherwise) { return number_from(name).value_or(otherwise); }

// "2(x3),1" → the tasks of node `node`: Slurm counts nodes of equal size together.
int tasks_of_node(const std::string& text, int node) {
  size_t at = 0;
  while (at < text.size()) {
    char* end = nullptr;
    const int tasks = static_cast<int>(std::strtol(text.c_str() + at, &end, 10));
    at = static_cast<size_t>(end - text.c_str());
    int repeat = 1;
    if (text.compare(at, 2, "(x") == 0) {
      repeat = static_cast<int>(std::strtol(text.c_str() + at + 2, &end, 10));
      at = static_cast<size_t>(end - text.c_str()) + 1;
    }
    if (node < repeat) return tasks;
    node -= repeat;
    if (at >= text.size() || text[at] != ',') break;
    ++at;
  }
  return 1;
}

int slurm_local_size() {
  for (const char* name : {"SLURM_STEP_TASKS_PER_NODE", "SLURM_TASKS_PER_NODE"})
    if (const char* text = std::getenv(name)) return tasks_of_node(text, number_or("SLURM_NODEID", 0));
  return 1;
}

// The shell of salloc, which may be a step of one task, or a batch script: srun did not start this process for each task.
bool in_shell_of_slurm() {
  return std::getenv("SLURM_JOB_ID") && (!std::getenv("SLURM_STEP_ID") || number_from("SLURM_STEP_NUM_TASKS") == 1);
}

std::string host_name() {
  char name[256] = {};
  return ::gethostname(name, sizeof name - 1) == 0 && name[0] ? name : "localhost";
}

}  // namespace

std::string Identity::worker_name() const { return fmt::format("{}-{}", host, ::getpid()); }

Identity identify(bool independent, bool shell_will_do) {
  Identity me;
  me.host = host_name();
  me.launcher = "none";
  const auto slurm_tasks = number_from("SLURM_NTASKS");
  if (const auto rank = number_from("OMPI_COMM_WORLD_RANK")) {
    me = {*rank,
          number_or("OMPI_COMM_WORLD_SIZE", 1),
          number_or("OMPI_COMM_WORLD_LOCAL_RANK", 0),
          number_or("OMPI_COMM_WORLD_LOCAL_SIZE", 1),
          "mpirun",
          me.host,
          0};
  } else if (const auto pmix_rank = number_from("PMIX_RANK")) {
    const auto in_step = number_from("SLURM_STEP_NUM_TASKS");
    me = {*pmix_rank,
          in_step.value_or(slurm_tasks.value_or(1)),
          number_or("SLURM_LOCALID", 0),
          slurm_local_size(),
          slurm_tasks || in_step ? "srun" : "mpirun",
          me.host,
          0};
  } else if (slurm_tasks && *slurm_tasks > 1 && !independent && shell_will_do && in_shell_of_slurm()) {
    me.shell_of_tasks = *slurm_tasks;
  } else if (slurm_tasks) {
    me.local_rank = number_or("SLURM_LOCALID", 0);
    me.local_size = slurm_local_size();
    if (!independent && *slurm_tasks > 1)
      user_error(
          "this process is alone, but Slurm gave the job {} tasks (SLURM_NTASKS), "
          "which would each start the whole job. "
          "Either start them as one job with PMIx: srun --mpi=pmix gaggle …, "
          "or let every process work for itself on the shared registry: --cluster.independent=true",
          *slurm_tasks);
  }
  // What MPICH's and Intel's mpirun set, and Slurm for them.
  if (me.launcher == "none" && !independent && number_or("PMI_SIZE", 1) > 1)
    user_error(
        "the mpirun of another MPI started this process (PMI_SIZE is {}): gaggle runs under the one that it was built "
        "with, which . launch/env.sh puts on PATH; or let every process work for itself: --cluster.independent=true",
        number_or("PMI_SIZE", 1));
  if (independent) {  // the place on the host stays: device and cores are still shared with the neighbours
    me.rank = 0;
    me.size = 1;
    me.launcher = "none";
  }
  if (me.rank >= me.size)
    user_error("the environment gives this process rank {} of {}: mpirun's or srun's variables contradict each other",
               me.rank, me.size);
  return me;
}

int launched_rank() {
  for (const char* name : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "SLURM_PROCID"})
    if (const char* text = std::getenv(name)) return std::atoi(text);
  return 0;
}

}  // namespace gaggle
