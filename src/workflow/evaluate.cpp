#include "workflow/evaluate.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/file.h"
#include "base/log.h"
#include "base/names.h"
#include "base/pulse.h"
#include "base/table.h"
#include "cluster/stop.h"
#include "config/read.h"
#include "eval/kept_adapters.h"
#include "eval/summary.h"
#include "job/plan.h"
#include "workflow/try_scoring.h"

namespace gaggle {
namespace {

struct EvalJob {
  const JobContext& context;
  const EvalSources& sources;
  EvalContext scoring;
  std::vector<EvalItem> items;
  fs::path folder;
};

void add_tasks(std::vector<PlanLine>& lines, const EvalJob& job) {
  std::vector<std::string> seen, unseen;
  int64_t examples = 0, cut = 0;
  for (const TokenTask& task : job.scoring.tasks) {
    (held_in(job.scoring, job.sources.methods, task.name) ? seen : unseen).push_back(task.name);
    examples += static_cast<int64_t>(task.examples(job.scoring.split).size());
    cut += task.examples_cut;
  }
  lines.push_back({"tasks", fmt::format("{} of split {} ({} cut by data.truncate in all splits)",
                                        plural(examples, "example"), job.scoring.eval.split, cut)});
  const auto group = [&](const char* label, const std::vector<std::string>& names) {
    if (!names.empty()) lines.push_back({"", fmt::format("{} {}: {}", label, names.size(), join(names, ", "))});
  };
  group("held-in ", seen);
  group("held-out", unseen);
}

void add_methods(std::vector<PlanLine>& lines, const EvalJob& job) {
  std::vector<std::string> methods;
  for (const Method& method : job.sources.methods) methods.push_back(method.name);
  const auto by_rule = [](const Method& method) { return is_routed(method.kind) || method.kind == MethodKind::random; };
  const int64_t k = job.scoring.eval.top_k;
  const std::string top_k = std::ranges::any_of(job.sources.methods, by_rule)
                                ? fmt::format(" (top_k {})", k == 0 ? "0: dense" : std::to_string(k))
                                : "";
  lines.push_back({"methods", join(methods, ", ") + top_k});
  for (const std::string& note : notes_on(job.sources.methods, job.sources.collection, scored_tasks(job.scoring.tasks)))
    lines.push_back({"note", note});
}

// How answers are scored where that is not as by default.
void add_scoring(std::vector<PlanLine>& lines, const EvalConfig& eval) {
  const std::map<std::string, std::string> by = {{"tokens", ""},
                                                 {"characters", "choices by nll per character"},
                                                 {"none", "choices by their whole nll"},
                                                 {"prior", "choices by nll less that without the question"}};
  std::vector<std::string> parts;
  if (eval.shots > 0)
    parts.push_back(fmt::format("{} of split {} before each question", plural(eval.shots, "shot"), eval.shots_split));
  if (!by.at(eval.normalise).empty()) parts.push_back(by.at(eval.normalise));
  if (!parts.empty()) lines.push_back({"scored", join(parts, ", ")});
}

JobPlan eval_plan(const EvalJob& job) {
  JobPlan plan;
  plan.lines = source_lines(job.sources, job.context.config);
  add_tasks(plan.lines, job);
  add_scoring(plan.lines, job.scoring.eval);
  add_methods(plan.lines, job);
  plan.place = job.folder.string();
  plan.verb = "score";
  std::vector<const TokenTask*> tasks;
  for (const TokenTask& task : job.scoring.tasks) tasks.push_back(&task);
  plan.memory = memory_need(job.context, bytes_of_experts(job.context, job.scoring, job.sources.methods), tasks,
                            job.scoring.split, 1, BaseUse::inference);
  const auto files = static_cast<int64_t>(job.items.size());
  plan.disk = {0, files + 2, job.folder};
  for (const EvalItem& item : job.items) plan.disk.bytes += 400 * (item.last - item.first);
  return plan;
}

class Scorer {
 public:
  explicit Scorer(const EvalJob& job) : job_(job), adapters_(job.scoring, room_for_adapters(job.context)) {}

  Commit score(const EvalItem& item, Attempt& attempt) {
    pulse("eval item", static_cast<int64_t>(item.first));
    const auto examples = static_cast<int64_t>(item.last - item.first);
    if (attempt.report) attempt.report->scored(0, examples);
    const bool finite = not_finite_in(item.method, job_.scoring.collection).empty();
    // Ranks that share a base hear of a stop between two items, or each would leave at another place.
    const auto between = job_.scoring.base.shards() ? [] { pulse(); } : heed_stop_requests;
    RoutedAdapter* adapter = finite ? adapters_.of(item.method, scored_task(job_.scoring.tasks[item.task])) : nullptr;
    const ItemResult result = run_item(job_.scoring, item, adapter, between);
    return [this, &item, text = result_json(job_.scoring, item, result)] {
      write_file_atomic(result_path(job_.folder, item.key), text);
      return "";
    };
  }

 private:
  const EvalJob& job_;
  KeptAdapters adapters_;
};

// With an adapter of its own: those of the scorer count what they have routed.
double rate_of(const EvalJob& job, const EvalItem& item, double flops) {
  const EvalContext& scoring = job.scoring;
  if (!not_finite_in(item.method, scoring.collection).empty()) return 0;
  const auto adapter = make_adapter(item.method, scoring.collection, scoring.prepared, scoring.seed, scoring.base,
                                    scored_task(scoring.tasks[item.task]));
  return scoring_rate(scoring, item, adapter.get(), flops);
}

// Each method beside the others, as runs of one name: its number of each task, and the means of held-in and held-out ones.
void show_in_tensorboard(const EvalJob& job, const Summary& summary, const std::string& ending) {
  for (size_t m = 0; m < summary.methods.size(); ++m) {
    std::vector<ItemReport::Outcome> all;
    const auto add = [&](const std::string& tag, double value) {
      if (std::isfinite(value)) all.push_back({tag, 0, value});
    };
    for (const bool held_in : {true, false}) {
      const std::vector<size_t> tasks = tasks_of(summary, held_in);
      double nll = 0, score = 0;
      for (const size_t t : tasks) {
        const Score& of = summary.scores[m][t];
        add("nll_per_token/" + summary.tasks[t], of.nll_per_token());
        add("score_percent/" + summary.tasks[t], 100 * of.mean_score());
        nll += of.nll_per_token() / static_cast<double>(tasks.size());
        score += 100 * of.mean_score() / static_cast<double>(tasks.size());
      }
      if (tasks.empty()) continue;
      add(held_in ? "mean/nll_per_token_held_in" : "mean/nll_per_token_held_out", nll);
      add(held_in ? "mean/score_percent_held_in" : "mean/score_percent_held_out", score);
    }
    std::string name = summary.methods[m] + ending;
    std::ranges::replace(name, '/', '_');
    write_events(job.context.session.run_dir, "eval/" + name, all);
  }
}

// Writes predictions.jsonl and results.json; under names of their own beside those of another collection or base.
Page closing_page(const EvalJob& job) {
  const BaseModel& base = job.scoring.base;
  const auto of = results_of({{"collection", job.sources.collection_name}}, base.spec().name, base.content_digest());
  const std::string ending = ending_of_names(job.folder, of);
  const fs::path predictions = job.folder / fmt::format("predictions{}.jsonl", ending);
  const fs::path results = job.folder / fmt::format("results{}.json", ending);
  Summary summary = summarise(job.scoring, job.sources.methods, job.items, job.folder, predictions);
  summary.results_of = of;
  write_file_atomic(results, summary_json(summary));
  if (job.context.config.report.tensorboard) show_in_tensorboard(job, summary, ending);
  if (!ending.empty()) log::info("results.json there is of another collection or base: these have a name of their own");
  Page page = Page("\n") + summary_page(summary) + glossary_line() +
              fmt::format(
                  "\n{}  every example: nll and tokens per choice, prediction, target\n"
                  "{}       these tables, and the share of routing weight per expert\n",
                  predictions.string(), results.string());
  const bool more_than_base =
      std::ranges::any_of(job.sources.methods, [](const Method& method) { return method.kind != MethodKind::none; });
  if (summary.missing.empty() && more_than_base && !prompt_method(job.scoring.eval).empty())
    page += fmt::format("next: gaggle generate {} \"your prompt\"\n", typed_again(job.context.config));
  return page;
}

}  // namespace

Exit run_evaluation(const JobContext& context, const EvalSources& sources, const Tokenizer& tokenizer,
                    const std::vector<TokenTask>& tasks, Split split) {
  EvalJob eval{context,
               sources,
               {context.config.eval, context.config.run.seed, context.config.train.tokens_per_microbatch, context.base,
                sources.collection, tokenizer, tasks, split, sources.pins, sources.prepared},
               {},
               context.session.run_dir / "eval"};
  check_examples(eval.scoring);
  eval.items = make_items(eval.scoring, sources.methods);
  if (!context.options.dry_run) {
    if (context.session.world->rank() == 0) require_writable(eval.folder / "items", "run.dir");
    context.session.world->barrier();
  }
  Job job{.kind = "evaluation", .thing = "item", .folder = eval.folder};
  job.wait = true;                                                                // the tables are of all items
  if (context.base.shards()) job.ranks_per_item = context.session.world->size();  // every pass is made by all
  // Methods that come to the same on a task ("leave_out=own" where nothing is its own) share what is scored.
  const std::vector<const EvalItem*> work = one_of_each_key(eval.items);
  for (const EvalItem* item : work) {
    job.items.push_back({item->key, item->method.name + " · " + tasks[item->task].name});
    job.work.push_back({scoring_kind(eval.scoring, *item), scoring_flops(eval.scoring, *item)});
  }
  job.result = [&](const WorkItem& item) {
    return fs::exists(result_path(eval.folder, item.key)) ? std::optional<std::string>("") : std::nullopt;
  };
  Scorer scorer(eval);
  job.try_out = [&](size_t item, double flops) { return rate_of(eval, *work[item], flops); };
  job.run = [&](size_t item, Attempt& attempt) { return scorer.score(*work[item], attempt); };
  job.closing_page = [&](const JobEnd&) { return closing_page(eval); };
  return plan_and_run(context, job, eval_plan(eval));
}

}  // namespace gaggle
