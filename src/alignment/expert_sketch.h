// Tasks that never meet: every expert leaves a sketch of its task's gradient at the start that all experts share,
// and at the end of a job the sketches are compared.
#pragma once

#include "alignment/similarity.h"
#include "train/recipe.h"

namespace gaggle {

// Where the sketches of a base's experts lie, and how they are made. Only sketches made alike are compared.
struct StartSketches {
  BaseModel& base;
  std::filesystem::path folder;  // holds KEY.safetensors of each recipe
  int64_t examples = 16;         // of each task, whose gradient is sketched; 0: no sketches are made
  int64_t dims = 4096;
  uint64_t seed = 0;
};
// Of [alignment], in the registry's work/reports/.
StartSketches start_sketches(BaseModel& base, const std::filesystem::path& registry, const AlignmentConfig& alignment,
                             uint64_t seed);

// Costs as much as a step of so many examples. Does nothing where the recipe's own sketch is there already, or
// where it trains no LoRA.
void leave_sketch(const StartSketches& sketches, const TokenTask& task, const Recipe& recipe);

struct SketchedTask {
  std::string name;
  const Recipe& recipe;
};
// The similarity of the tasks as text, and as matrices in the safetensors file `result`; "" where fewer than two
// of them left a sketch.
Page compare_sketches(const StartSketches& sketches, const std::vector<SketchedTask>& tasks,
                      const std::filesystem::path& result);
// What such a file holds; `dims` is not kept. Throws UserError where it is not of this form.
TaskSimilarity read_similarity(const std::filesystem::path& result);

}  // namespace gaggle
