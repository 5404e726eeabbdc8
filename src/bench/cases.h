// The lines of the bench, by group. What a case needs is made when it is made, so that those that are left out cost
// nothing.
#pragma once

#include <memory>
#include <vector>

#include "bench/subject.h"

namespace gaggle {

using SharedSubject = std::shared_ptr<const BenchSubject>;

// Products of the base's shapes and a copy of memory: what the shares of all other lines are of.
std::vector<BenchCase> machine_cases(const SharedSubject& subject);
// Single kernels on the rows of the batch, each on one layer's linears where it sits on linears.
std::vector<BenchCase> kernel_cases(const SharedSubject& subject, const std::vector<int64_t>& experts);
// Whole steps and passes: training, scoring, generation.
std::vector<BenchCase> step_cases(const SharedSubject& subject, const std::vector<int64_t>& experts);

// The distinct shapes of the base's linears, with how many linears of each there are.
struct LinearShape {
  int64_t d_in = 0, d_out = 0, count = 0;
  std::string text() const { return std::to_string(d_in) + "x" + std::to_string(d_out); }
};
std::vector<LinearShape> linear_shapes(const BaseModel& base);

// Adapters in training: of an expert, a gate, Poly or MHR ("expert", "gate", "poly", "mhr").
std::unique_ptr<Trainable> training_adapter(const BenchSubject& subject, const std::string& kind,
                                            const std::vector<LoraSite>& sites);

}  // namespace gaggle
