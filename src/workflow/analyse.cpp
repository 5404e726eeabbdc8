#include "workflow/analyse.h"

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/names.h"
#include "base/pulse.h"
#include "base/table.h"
#include "config/read.h"
#include "eval/summary.h"
#include "job/plan.h"
#include "workflow/analysis_items.h"

namespace gaggle {
namespace {

bool chooses_by_scores(const std::string& entry) { return is_routed(kind_of_method(entry)); }

// Throws UserError where none can be computed.
std::vector<Method> finite_methods(const EvalSources& sources) {
  std::vector<Method> methods;
  std::string reason;
  for (const Method& method : sources.methods) {
    const std::string wrong = not_finite_in(method, sources.collection);
    if (wrong.empty())
      methods.push_back(method);
    else
      reason = fmt::format("{} cannot be analysed: {}", method.name, wrong);
  }
  if (methods.empty()) user_error("{}; name another method, or leave out what is not finite", reason);
  return methods;
}

// In its own file and once more in analysis.json: twenty digits for each expert and site, some for a token of a text.
uint64_t bytes_of_result(const AnalysisJob& job, const AnalysisItem& item) {
  if (item.part != AnalysisPart::routing) return 1000;
  uint64_t tokens = 0;
  const auto& examples = job.scoring.tasks[item.scored[0].task].examples(job.scoring.split);
  for (size_t i = 0; i < item.texts; ++i)
    tokens += examples[i].source.size() + examples[i].input.size() + examples[i].target.size();
  return 40 * (job.scoring.collection.names.size() + 3) * job.scoring.base.sites().size() + 60 * tokens;
}

JobPlan analysis_plan(const AnalysisJob& job) {
  const Config& config = job.context.config;
  JobPlan plan;
  plan.lines = source_lines(job.sources, config);
  int64_t examples = 0;
  std::vector<std::string> tasks, methods, others;
  std::vector<const TokenTask*> token_tasks;
  for (const TokenTask& task : job.scoring.tasks) {
    examples += static_cast<int64_t>(task.examples(job.scoring.split).size());
    tasks.push_back(task.name);
    token_tasks.push_back(&task);
  }
  for (const Method& method : job.methods) methods.push_back(method.name);
  for (const std::string& entry : config.eval.methods)
    if (!chooses_by_scores(entry)) others.push_back(entry);
  plan.lines.push_back({"tasks", fmt::format("{} of split {} in {}: {}", plural(examples, "example"), config.eval.split,
                                             tasks.size(), join(tasks, ", "))});
  plan.lines.push_back(
      {"methods",
       join(methods, ", ") + (job.options.knock_out ? fmt::format(", each also without one of {}",
                                                                  plural(job.scoring.collection.names.size(), "expert"))
                                                    : "")});
  if (!others.empty())
    plan.lines.push_back(
        {"note", fmt::format("left out, since they choose no experts by scores: {}", join(others, ", "))});
  for (const std::string& note : notes_on(job.sources.methods, job.sources.collection, scored_tasks(job.scoring.tasks)))
    plan.lines.push_back({"note", note});
  plan.place = job.folder.string();
  plan.verb = "do";
  plan.memory = memory_need(job.context, bytes_of_experts(job.context, job.scoring, job.methods), token_tasks,
                            job.scoring.split, 1, BaseUse::inference);
  plan.disk = {0, static_cast<int64_t>(job.items.size()) + 1, job.folder};
  for (const AnalysisItem& item : job.items) plan.disk.bytes += bytes_of_result(job, item);
  return plan;
}

Page write_analysis(const AnalysisJob& job) {
  const Analysis analysis = analysis_of(job);
  const char* name = "analysis.json";
  const std::string ending = ending_of_names(job.folder, analysis.of, name);
  const fs::path file = job.folder / fmt::format("analysis{}.json", ending);
  write_file_atomic(file, analysis_json(analysis));
  if (!ending.empty()) log::info("{} there is of another collection or base: this one has a name of its own", name);
  return Page("\n") + analysis_page(analysis) + glossary_line() +
         fmt::format(
             "{}  all of it: weights by site, divergences, similarities, texts token by token\nnext: gaggle eval {}\n",
             file.string(), typed_again(job.context.config));
}

}  // namespace

Config with_routed_methods(const Config& config) {
  Config routed = config;
  std::erase_if(routed.eval.methods, [](const std::string& entry) { return !chooses_by_scores(entry); });
  if (routed.eval.methods.empty())
    user_error(
        "{}: {} choose no experts by scores; gaggle analyse looks at phatgoose, average, arrow, spectr, arrow+spectr and "
        "retrieval",
        methods_origin(config), join(config.eval.methods, ", "));
  return routed;
}

Exit run_analysis(const JobContext& context, const EvalSources& sources, const Tokenizer& tokenizer,
                  std::vector<TokenTask> tasks, Split split, const AnalyseOptions& options) {
  for (TokenTask& task : tasks) task.metric = "nll";
  const Config& config = context.config;
  AnalysisJob analysis{context,
                       sources,
                       options,
                       {config.eval, config.run.seed, config.train.tokens_per_microbatch, context.base,
                        sources.collection, tokenizer, tasks, split, sources.pins, sources.prepared},
                       finite_methods(sources),
                       context.session.run_dir / "eval"};
  check_examples(analysis.scoring);
  analysis.items = items_of_analysis(analysis);
  if (!context.options.dry_run) {
    if (context.session.world->rank() == 0) require_writable(analysis.folder / "items", "run.dir");
    context.session.world->barrier();
  }
  Job job{.kind = "analysis", .thing = "item", .folder = analysis.folder};
  job.wait = true;                                                                // analysis.json is of all items
  if (context.base.shards()) job.ranks_per_item = context.session.world->size();  // every pass is made by all
  const std::vector<const AnalysisItem*> work = one_of_each_key(analysis.items);
  for (const AnalysisItem* item : work) {
    job.items.push_back({item->key, item->name});
    job.work.push_back(item->work);
  }
  job.result = [&](const WorkItem& item) {
    return fs::exists(result_path(analysis.folder, item.key)) ? std::optional<std::string>("") : std::nullopt;
  };
  Analyser analyser(analysis);
  job.run = [&](size_t i, Attempt&) -> Commit {
    pulse("analysis", static_cast<int64_t>(i));
    return [&analysis, item = work[i], text = analyser.run(*work[i])] {
      write_file_atomic(result_path(analysis.folder, item->key), text);
      return "";
    };
  };
  job.closing_page = [&](const JobEnd&) { return write_analysis(analysis); };
  return plan_and_run(context, job, analysis_plan(analysis));
}

}  // namespace gaggle
