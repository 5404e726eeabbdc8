// The end of a job: the table of its experts, the collection, what to type next.
#pragma once

#include "app/expert_job.h"
#include "coordinator/journal.h"
#include "coordinator/queue.h"

namespace gaggle {

// Who sees the last item committed merges. The job's first rank prints; `events` are of its journals.
Exit conclude(const ExpertJob& job, Registry& registry, WorkQueue& queue,
              const std::vector<JournalEvent>& events);

}  // namespace gaggle
