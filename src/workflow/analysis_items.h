// The items of an analysis: which there are, and how each is done.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "eval/analysis.h"
#include "eval/kept_adapters.h"
#include "workflow/analyse.h"

namespace gaggle {

enum class AnalysisPart {
  routing,    // what a method chooses on up to 1,000 examples of a task, and their nll
  knock_out,  // the nll of all tasks by a method that goes without one expert
  similarity  // of all experts
};

struct AnalysisItem {
  AnalysisPart part = AnalysisPart::similarity;
  std::string key = {}, name = {};  // of everything that changes the result; for people
  ItemWork work = {};
  size_t method = 0;                  // in AnalysisJob::methods
  std::vector<EvalItem> scored = {};  // one of them, or all of a method that goes without an expert
  size_t texts = 0;                   // of the first examples of `scored`, token by token
  size_t without = 0;                 // the number of the expert that is knocked out
};

struct AnalysisJob {
  const JobContext& context;
  const EvalSources& sources;
  const AnalyseOptions& options;
  EvalContext scoring;          // whose tasks are scored by nll alone
  std::vector<Method> methods;  // those that can be computed
  std::filesystem::path folder;
  std::vector<AnalysisItem> items = {};  // two methods of the same settings have items of the same keys
};

std::vector<AnalysisItem> items_of_analysis(const AnalysisJob& job);

class Analyser {
 public:
  explicit Analyser(const AnalysisJob& job)
      : job_(job), adapters_(job.scoring, room_for_adapters(job.context)), classes_(job.scoring.tokenizer) {}
  std::string run(const AnalysisItem& item);  // its result as JSON; throws StopRequested

 private:
  RoutedExamples routing_of(const AnalysisItem& item);
  std::string scores_without(const AnalysisItem& item) const;
  std::string similarity() const;

  const AnalysisJob& job_;
  KeptAdapters adapters_;
  TokenClasses classes_;
};

// What the items came to; who has no result is named in it.
Analysis analysis_of(const AnalysisJob& job);

}  // namespace gaggle
