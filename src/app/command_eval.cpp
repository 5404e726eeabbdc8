// gaggle eval: method × task items taken from the run folder by lease, then one table.
#include <algorithm>
#include <cstdio>
#include <map>

#include "app/commands.h"
#include "app/eval_sources.h"
#include "comm/mpi_job.h"
#include "job/inputs.h"
#include "job/session.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/names.h"
#include "base/pulse.h"
#include "base/table.h"
#include "cluster/stop.h"
#include "coordinator/journal.h"
#include "coordinator/queue.h"
#include "eval/summary.h"
#include "model/hardware.h"

namespace gaggle {
namespace {

// Unwinds an item between two batches when a stop was asked for.
struct Stopped {
  Exit code;
};

bool by_token(const Method& method) {
  return method.kind == MethodKind::phatgoose || method.kind == MethodKind::arrow;
}

void print_plan(const EvalContext& context, const Session& session, const EvalSources& sources,
                const std::vector<EvalItem>& items, const fs::path& folder) {
  const Config& config = context.config;
  const std::vector<Method>& methods = sources.methods;
  std::vector<std::string> method_names, task_names, seen, unseen;
  for (const Method& method : methods) method_names.push_back(method.name);
  size_t rows = 0, cut = 0;
  for (const TokenTask& task : context.tasks) {
    (held_in(context, methods, task.name) ? seen : unseen).push_back(task.name);
    task_names.push_back(task.name);
    rows += task.rows(context.split).size();
    cut += static_cast<size_t>(task.rows_cut);
  }
  const auto done = std::count_if(items.begin(), items.end(), [&](const EvalItem& item) {
    return fs::exists(result_path(folder, item.key));
  });
  const auto size = [](const std::vector<std::string>& names) { return static_cast<int64_t>(names.size()); };
  log::info("model       {}   {} parameters · {} · {} rank{}", context.base.spec().name,
            count_text(static_cast<double>(context.base.parameters())),
            hardware_text(context.base.device(), context.base.dtype()), session.identity.size,
            session.identity.size == 1 ? "" : "s");
  for (const std::string& line : source_lines(sources, config)) log::info("{}", line);
  log::info("tasks       {} rows of split {} ({} cut by data.truncate in all splits)",
            with_commas(int64_t(rows)), config.eval.split, cut);
  if (!seen.empty()) log::info("  held-in   {}: {}", size(seen), join(seen, ", "));
  if (!unseen.empty()) log::info("  held-out  {}: {}", size(unseen), join(unseen, ", "));
  const std::string top_k = config.eval.top_k == 0 ? "0: dense" : std::to_string(config.eval.top_k);
  log::info("methods     {}{}", join(method_names, ", "),
            std::ranges::any_of(methods, by_token) ? fmt::format(" (top_k {})", top_k) : "");
  for (const std::string& note : notes_on(methods, context.collection, task_names))
    log::info("  note      {}", note);
  log::info("work        {} items, {} of them done already, results in {}", items.size(), done,
            folder.string());
}

void check_rows(const EvalContext& context) {
  for (const TokenTask& task : context.tasks)
    if (task.rows(context.split).empty())
      user_error("task {}: no rows in split {}: give it some, or set eval.split", task.name,
                 context.config.eval.split);
}

// Takes items until none is left to take. Adapters are kept: making one costs more than a small item.
class Worker {
 public:
  Worker(const EvalContext& context, const Session& session, const std::vector<EvalItem>& items,
         fs::path folder, bool retry)
      : context_(context), folder_(std::move(folder)) {
    std::vector<WorkItem> work;
    for (const EvalItem& item : items) {
      by_key_[item.key] = &item;
      work.push_back({item.key, item.method.name + " · " + context.tasks[item.task].name, item.cost});
    }
    QueueOptions options;
    options.folder = folder_;
    options.worker = session.identity.worker_name();
    options.lease_s = context.config.cluster.lease_s;
    options.wait = session.identity.rank == 0;  // the first rank merges what all made
    options.retry = retry;
    options.done = [this](const WorkItem& item) { return fs::exists(result_path(folder_, item.key)); };
    options.stop = [] { return stop_requested().has_value(); };
    const std::string worker = options.worker;
    queue_ = std::make_unique<WorkQueue>(std::move(options), std::move(work));
    const std::string job_name = session.world->all_gather_text(worker)[0];
    journal_ = std::make_unique<Journal>(folder_, worker, job_name, session.identity.rank, queue_->list());
  }

  // Exit::done when there is nothing left to take.
  Exit run() {
    while (auto taken = queue_->next()) {
      journal_->event("taken", taken->item.name, taken->item.key);
      try {
        do_item(*taken);
        journal_->event("committed", taken->item.name, taken->item.key);
        queue_->finish(std::move(*taken));
      } catch (const Stopped& stopped) {
        queue_->give_back(std::move(*taken));
        return stopped.code;
      } catch (const std::exception& error) {
        const std::string name = taken->item.name, key = taken->item.key;
        const bool aside = queue_->fail(std::move(*taken), error.what());
        journal_->event(aside ? "aside" : "failed", name, key, error.what());
        if (aside)
          log::error("{} is set aside: {}", name, error.what());
        else
          log::warning("{} failed and is tried once more: {}", name, error.what());
      }
    }
    return stop_requested().value_or(Exit::done);
  }

 private:
  void do_item(const Taken& taken) {
    const EvalItem& item = *by_key_.at(taken.item.key);
    const std::string& task = context_.tasks[item.task].name;
    const std::pair key(item.method.name, item.method.kind == MethodKind::poly ? task : "");
    auto adapter = adapters_.find(key);
    if (adapter == adapters_.end())
      adapter = adapters_
                    .emplace(key, make_adapter(item.method, context_.collection, context_.config.eval,
                                               context_.base, task))
                    .first;
    if (monotonic_seconds() - said_ > 5) {
      said_ = monotonic_seconds();
      log::info("{} of {} items done · now {}", queue_->plan().count(ItemState::done), by_key_.size(),
                taken.item.name);
    }
    pulse("eval item", static_cast<int64_t>(queue_->plan().count(ItemState::done)));
    const auto result = run_item(context_, item, adapter->second.get(), [] {
      if (const auto stop = stop_requested()) throw Stopped{*stop};
    });
    write_file_atomic(result_path(folder_, item.key), result_text(context_, item, result));
    pulse_under_way();
  }

  const EvalContext& context_;
  fs::path folder_;
  std::map<std::string, const EvalItem*> by_key_;
  std::map<std::pair<std::string, std::string>, std::unique_ptr<RoutedAdapter>>
      adapters_;  // by method, and of poly task
  std::unique_ptr<WorkQueue> queue_;
  std::unique_ptr<Journal> journal_;
  double said_ = -1e9;
};

Exit merge(const EvalContext& context, const std::vector<Method>& methods, const std::vector<EvalItem>& items,
           const fs::path& folder) {
  const Summary summary = summarise(context, methods, items, folder);
  write_file_atomic(folder / "results.json", summary_json(summary));
  std::string text = fmt::format(
      "\n{}\n{}  every row: nll and tokens per choice, prediction, target\n"
      "{}       this table, and the share of routing weight per expert\n",
      summary_text(summary), (folder / "predictions.jsonl").string(), (folder / "results.json").string());
  const bool more_than_base =
      std::ranges::any_of(methods, [](const Method& method) { return method.kind != MethodKind::none; });
  if (summary.missing.empty() && more_than_base && !prompt_method(context.config.eval).empty())
    text += fmt::format("next: gaggle generate {} \"your prompt\"\n", context.config.file);
  std::fputs(text.c_str(), stdout);
  return summary.missing.empty() ? Exit::done : Exit::some_set_aside;
}

}  // namespace

Exit command_eval(const Config& config, const CommandOptions& options) {
  const auto& paths = config.eval.tasks.empty() ? config.data.tasks : config.eval.tasks;
  const Split split = split_named(config.eval.split);
  const Inputs inputs = load_inputs(config, paths, config.eval.limit_rows);
  Session session = start_session(config);  // nothing is written before all is checked
  check_writable(session.run_dir, "run.dir");
  if (const auto stop = options.dry_run ? std::nullopt : stopped_before_start(session, config)) return *stop;
  const auto base = load_base(config, inputs, session.device, BaseUse::inference);
  const EvalSources sources = load_sources(config, *base);
  const EvalContext context{config,       *base, sources.collection, *inputs.tokenizer,
                            inputs.tasks, split, sources.pins};
  check_rows(context);
  const std::vector<Method>& methods = sources.methods;
  const auto items = make_items(context, methods);
  const fs::path folder = session.run_dir / "eval";
  const bool first = session.identity.rank == 0;
  if (first) print_plan(context, session, sources, items, folder);
  Exit code = Exit::done;
  if (!options.dry_run) {
    if (first) require_writable(folder / "items", "run.dir");
    session.world->barrier();
    Worker worker(context, session, items, folder, options.retry);
    survive_losses();
    code = worker.run();
    if (code == Exit::stopped && first)
      log::warning("{} asks to stop: remove it to go on", (session.run_dir / "STOP").string());
    if (code == Exit::done && first) code = merge(context, methods, items, folder);
  }
  end_session(session);
  return code;
}

}  // namespace gaggle
