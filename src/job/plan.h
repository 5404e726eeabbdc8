// The block that stands before a job begins: the whole truth about what it will do, and what it will need.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/page.h"
#include "job/cost.h"
#include "job/job.h"
#include "train/trainer.h"

namespace gaggle {

struct DiskNeed {
  uint64_t bytes = 0;
  int64_t files = 0;
  std::filesystem::path place;  // that is written to; need not be there yet
};

// "label     words"; without a label it goes on with the line above.
struct PlanLine {
  std::string label, words;
};

// What a job adds to the block that all jobs share.
struct JobPlan {
  std::vector<PlanLine> lines = {};  // what is done, with what
  std::string label = "work";        // of the line that counts the items …
  std::string place;                 // … and the folder that it names
  std::string verb = "do";           // "6 to train"
  std::vector<PlanLine> notes = {};  // that follow it: why an item is made again, warnings
  JobMemory memory;
  DiskNeed disk;
  // More for --dry-run: what every item will cost.
  std::function<Page(const std::vector<WorkItem>&)> dry_run_page = {};
};

// Looks up or tries out how fast the items will go, prints the plan on the first rank and, unless it is a dry run, runs
// the job; then says goodbye to the other ranks. Collective.
Exit plan_and_run(const JobContext& context, Job job, const JobPlan& plan);

// The block: what computes, the model, then these lines.
std::string plan_block(const std::string& machine, const BaseModel& base, const std::vector<PlanLine>& lines);
// Parts of it.
std::string program_text();  // "gaggle 0.1 · LibTorch 2.11.0 · Open MPI 5.0.11"
// "lr 0.005, from 0 over 4 steps of warm-up, falling to 0".
std::string lr_text(const Schedule& schedule);
std::string dropout_text(const StepSettings& step);                 // "": the base has none
std::string data_text(const std::vector<const TokenTask*>& tasks);  // of their training examples
std::string need_text(const JobMemory& need);                       // "base 595 MB, adapter …, activations …"

}  // namespace gaggle
