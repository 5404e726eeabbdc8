// A worker: a group of ranks that takes items by lease, trains them, commits them. Its first rank holds the
// lease and writes the reports; the others follow it.
#pragma once

#include "app/expert_job.h"
#include "coordinator/journal.h"
#include "coordinator/queue.h"
#include "train/expert.h"

namespace gaggle {

// Whether a rank of this group was given up (survive_losses). Asks for some seconds, as what MPI throws may come
// before the watchdog knows.
bool lost_a_rank(Communicator& group);

struct ExpertWorker {
  const ExpertJob& job;
  Registry& registry;
  Communicator& group;
  Journal* journal = nullptr;  // the group's first rank
  WorkQueue* queue = nullptr;  // likewise

  // Takes items until there are none; returns how it was stopped, if it was. Throws SystemError where the group
  // has lost a rank; its item is given back.
  std::optional<Exit> work();

 private:
  std::optional<Exit> one(const ExpertItem& item, int generation, std::optional<Taken> taken);
  ExpertResult train(const ExpertItem& item, int generation);
  void failed(const ExpertItem& item, std::optional<Taken> taken, const std::string& reason, bool final);
};

}  // namespace gaggle
