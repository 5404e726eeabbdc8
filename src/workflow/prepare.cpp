#include "workflow/prepare.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/names.h"
#include "base/pulse.h"
#include "base/sha256.h"
#include "base/table.h"
#include "cluster/stop.h"
#include "config/method_text.h"
#include "config/read.h"
#include "eval/prepare.h"
#include "job/plan.h"
#include "workflow/eval_sources.h"

namespace gaggle {
namespace {

// One expert's part of something that is prepared.
struct PrepareItem {
  std::string what;
  size_t expert = 0;
  const TokenTask* task = nullptr;
  const Method* method = nullptr;  // of statistics: whose scores
};

struct PrepareJob {
  const JobContext& context;
  const std::map<std::string, TokenTask>& tasks;
  PreparedFiles files;
  RoutedCollection collection;
  std::vector<Method> methods;
  PreparedExperts prepared = {};  // of averages, where statistics are of these
  std::vector<std::string> later = {};
  std::vector<PrepareItem> items = {};

  int64_t limit() const { return context.config.eval.prepare_examples; }
  std::span<const TokenExample> training(const TokenTask& task) const {
    const std::span<const TokenExample> all = task.examples(Split::train);
    return all.first(std::min(all.size(), static_cast<size_t>(limit())));
  }
  PreparePasses passes(std::span<const TokenExample> examples) const {
    const auto between = context.base.shards() ? [] { pulse(); } : heed_stop_requests;
    return {context.base, examples, context.config.train.tokens_per_microbatch, between};
  }
};

// Of everything that is read: what is prepared for an expert follows from its own task, and the best from all.
std::string digest_of(const PrepareJob& job, const PrepareItem& item) {
  if (item.what != "best") return item.task->digest;
  Sha256 digest;
  for (const Version& expert : job.files.experts()) digest.update(job.tasks.at(expert.name).digest);
  return digest.hex();
}

void add_items(PrepareJob& job, const std::string& what, const Method& method) {
  if (std::ranges::any_of(job.items, [&](const PrepareItem& item) { return item.what == what; })) return;
  for (size_t z = 0; z < job.files.experts().size(); ++z)
    job.items.push_back({what, z, &job.tasks.at(job.files.experts()[z].name), &method});
}

bool all_there(const PrepareJob& job, const std::string& what) {
  for (size_t z = 0; z < job.files.experts().size(); ++z)
    if (!std::filesystem::exists(job.files.file(what, z))) return false;
  return true;
}

std::vector<Method> methods_that_need(const Config& config, const RoutedCollection& collection) {
  Config wanted = config;
  std::erase_if(wanted.eval.methods, [&](const std::string& entry) {
    const MethodText text = read_method_text(config, entry);
    return needed_by({kind_of_method(text.name), text.whole, -1, nullptr, text.eval}).empty();
  });
  if (wanted.eval.methods.empty())
    user_error(
        "{}: no method of eval.methods needs anything prepared: average, retrieval and best do, and what is routed "
        "with calibrate = \"stats\" or a prior",
        config.file);
  return read_methods(wanted, collection);
}

// Statistics of scores that are averages themselves want these first.
void list_items(PrepareJob& job) {
  for (const Method& method : job.methods)
    for (const std::string& what : needed_by(method)) {
      if (what == "retrieval" && !job.context.config.eval.embeddings.empty()) continue;
      if (what == "stats average" && !all_there(job, "average")) {
        job.later.push_back(method.name);
        continue;
      }
      if (what == "stats average" && job.prepared.averages.empty())
        read_prepared(job.files, "average", job.context.base, job.context.config.file, job.prepared);
      add_items(job, what, method);
    }
}

std::vector<TensorToKeep> by_site(const PrepareJob& job, const std::vector<at::Tensor>& values, const char* ending) {
  std::vector<TensorToKeep> tensors;
  for (const Site& site : job.context.base.sites())
    if (const at::Tensor& of_site = values[static_cast<size_t>(site.index)]; of_site.defined())
      tensors.push_back({site.name + ending, of_site.contiguous()});
  return tensors;
}

std::vector<TensorToKeep> statistics_to_keep(const PrepareJob& job, const PrepareItem& item) {
  std::vector<TensorToKeep> tensors;
  const auto sums = score_sums(job.passes(job.training(*item.task)), *item.method, job.collection, job.prepared);
  for (const Site& site : job.context.base.sites()) {
    const ScoreSums& of_site = sums[static_cast<size_t>(site.index)];
    if (of_site.tokens == 0) continue;
    tensors.push_back({site.name + ".sums", of_site.sums});
    tensors.push_back({site.name + ".squares", of_site.squares});
    tensors.push_back({site.name + ".tokens", at::full({1}, of_site.tokens, at::kDouble)});
  }
  return tensors;
}

// The nll of one expert on the validation examples of every expert's task.
std::vector<TensorToKeep> scores_to_keep(const PrepareJob& job, size_t expert) {
  std::vector<double> nll;
  const auto adapter = make_single(job.collection, static_cast<int>(expert));
  for (const Version& other : job.files.experts()) {
    const auto& examples = job.tasks.at(other.name).examples(Split::validation);
    if (!examples.empty()) nll.push_back(nll_per_token(job.passes(examples), *adapter));
  }
  if (nll.empty()) user_error("best: no task of the collection's experts has validation examples");
  return {{"nll", at::tensor(nll, at::kDouble)}};
}

std::vector<TensorToKeep> prepared_tensors(const PrepareJob& job, const PrepareItem& item) {
  if (item.what == "average")
    return by_site(
        job, mean_inputs(job.passes(job.training(*item.task)), job.collection, static_cast<int>(item.expert)), "");
  if (item.what == "retrieval") return {{"states", prompt_states(job.passes(job.training(*item.task))).contiguous()}};
  if (item.what == "best") return scores_to_keep(job, item.expert);
  return statistics_to_keep(job, item);
}

JobPlan prepare_plan(const PrepareJob& job) {
  JobPlan plan;
  std::vector<std::string> names;
  std::vector<const TokenTask*> tasks;
  for (const Version& expert : job.files.experts()) {
    names.push_back(expert.name);
    tasks.push_back(&job.tasks.at(expert.name));
  }
  plan.lines.push_back(
      {"collection", fmt::format("{} of {}   {}: {}", job.files.pin(), job.context.config.registry.path,
                                 plural(names.size(), "expert"), join(names, ", "))});
  std::set<std::string> kinds;
  for (const PrepareItem& item : job.items) kinds.insert(item.what);
  plan.lines.push_back({"prepares", fmt::format("{}, from at most {} training examples of each expert's task",
                                                join({kinds.begin(), kinds.end()}, ", "), job.limit())});
  for (const std::string& method : job.later)
    plan.lines.push_back(
        {"note", fmt::format("\"{}\" also needs statistics of its averages: run this command once more "
                             "when these are there",
                             method)});
  plan.place = job.context.config.registry.path + "/cache";
  plan.verb = "prepare";
  plan.memory = memory_need(job.context, 0, tasks, Split::train, 1, BaseUse::inference);
  plan.disk = {0, static_cast<int64_t>(job.items.size()), plan.place};
  for (const PrepareItem& item : job.items) plan.disk.bytes += item.what == "best" ? 1000 : 1'000'000;
  return plan;
}

Job job_of(const PrepareJob& job) {
  Job all{.kind = "preparation", .thing = "part", .folder = job.context.config.registry.path};
  if (job.context.base.shards()) all.ranks_per_item = job.context.session.world->size();
  for (const PrepareItem& item : job.items) {
    const std::string& expert = job.files.experts()[item.expert].name;
    const std::string key = job.files.file(item.what, item.expert).filename().string() + digest_of(job, item);
    all.items.push_back({sha256_hex(key), item.what + " · " + expert});
    const std::span<const TokenExample> examples = job.training(*item.task);
    all.work.push_back({"preparing: " + item.what,
                        scoring_flops(job.context.base, *item.task, Split::train, 0, examples.size(),
                                      job.context.config.eval, job.context.config.train.tokens_per_microbatch)});
  }
  const auto item_of = [&job, keys = all.items](const WorkItem& item) -> const PrepareItem& {
    return job.items[static_cast<size_t>(std::ranges::find(keys, item.key, &WorkItem::key) - keys.begin())];
  };
  all.result = [&job, item_of](const WorkItem& work) {
    const PrepareItem& item = item_of(work);
    return job.files.is_there(item.what, item.expert, digest_of(job, item)) ? std::optional<std::string>("")
                                                                            : std::nullopt;
  };
  all.run = [&job](size_t i, Attempt&) -> Commit {
    const PrepareItem& item = job.items[i];
    pulse("prepare", static_cast<int64_t>(i));
    return [&job, &item, tensors = prepared_tensors(job, item)] {
      job.files.keep(item.what, item.expert, digest_of(job, item), tensors);
      return "";
    };
  };
  all.closing_page = [&job](const JobEnd&) {
    return job.later.empty() ? fmt::format("next: gaggle eval {}\n", typed_again(job.context.config))
                             : fmt::format("next: gaggle prepare {} once more, for statistics of averages\n",
                                           typed_again(job.context.config));
  };
  return all;
}

}  // namespace

Exit run_prepare(const JobContext& context, const std::map<std::string, TokenTask>& tasks) {
  const Config& config = context.config;
  const Registry registry =
      Registry::open(config.registry.path, fingerprint_of(context.base), /*create=*/false, context.options.accept_base);
  const std::string pin = needed_collection(config, registry);
  PrepareJob job{context,
                 tasks,
                 PreparedFiles(registry, pin, context.base, config.eval.prepare_examples),
                 open_collection(registry, pin, context.base, !context.options.dry_run, /*whole=*/true).collection,
                 {}};
  job.methods = methods_that_need(config, job.collection);
  std::vector<std::string> without_task;
  for (const Version& expert : job.files.experts())
    if (!tasks.contains(expert.name)) without_task.push_back(expert.name);
  if (!without_task.empty())
    user_error("{}: no task of {}: name the experts' training tasks in data.tasks, or in [gate.tasks]", config.file,
               join(without_task, ", "));
  list_items(job);
  return plan_and_run(context, job_of(job), prepare_plan(job));
}

}  // namespace gaggle
