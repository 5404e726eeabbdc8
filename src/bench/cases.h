// The lines of the bench, by group. What a case needs is made when it is made, so that those that are left out cost
// nothing.
#pragma once

#include <memory>
#include <vector>

#include "bench/subject.h"

namespace gaggle {

using SharedSubject = std::shared_ptr<const BenchSubject>;

// The lines of a group as they are listed. What they need of the subject they take with them.
struct CaseList {
  std::string group;
  SharedSubject subject;
  std::vector<BenchCase> cases = {};
  void add(const std::string& name, const std::vector<BenchWork>& work, int64_t tokens, std::function<Runner()> make) {
    cases.push_back({group, name, work, static_cast<double>(tokens), std::move(make)});
  }
};

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

// Adapters in training; those that mix skills are given BenchSubject::mixed.
inline constexpr const char* training_kinds[] = {"expert", "gate", "poly", "mhr"};
inline bool mixes_skills(std::string_view kind) { return kind == "poly" || kind == "mhr"; }
std::unique_ptr<Trainable> training_adapter(const BenchSubject& subject, const std::string& kind,
                                            const std::vector<LoraSite>& sites);

}  // namespace gaggle
