// Gradient alignment at a checkpoint of a pretraining run: one pass over the same number of examples of every
// task, so that every pair of tasks is measured. Nothing is trained.
#pragma once

#include "alignment/report.h"
#include "comm/communicator.h"
#include "train/skills.h"

namespace gaggle {

struct CheckpointPass {
  std::filesystem::path run_folder;   // results go to alignment/step-STEP-examples-EXAMPLES inside
  std::filesystem::path checkpoints;  // of all recipes of the run
  int64_t step = -1;                  // the checkpoint's; -1: the newest
  int64_t examples = 0;               // of each task; of one that has fewer, all of them
  AlignmentConfig settings;
};

// The steps that it returns are on the group's first rank alone. Collective. Throws UserError where there is no
// such checkpoint.
AlignmentRun measure_checkpoint(BaseModel& base, const std::vector<TokenTask>& tasks, const SkillsRecipe& recipe,
                                const CheckpointPass& pass, Communicator& group);

}  // namespace gaggle
