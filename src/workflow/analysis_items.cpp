#include "workflow/analysis_items.h"

#include <algorithm>
#include <cmath>

#include "alignment/statistics.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/pulse.h"
#include "base/sha256.h"
#include "cluster/stop.h"
#include "eval/prepare.h"
#include "eval/summary.h"
#include "library/expert_products.h"
#include "library/gate_cosines.h"
#include "registry/pins.h"
#include "registry/version_files.h"
#include "workflow/try_scoring.h"

namespace gaggle {
namespace {

// Of another form no result is taken.
constexpr int form_of_analysis = 1;

std::span<const TokenExample> examples_of(const AnalysisJob& job, const EvalItem& scored) {
  const std::span all(job.scoring.tasks[scored.task].examples(job.scoring.split));
  return all.subspan(scored.first, scored.last - scored.first);
}

PreparePasses passes_of(const AnalysisJob& job, std::span<const TokenExample> examples) {
  // Ranks that share a base hear of a stop between two items, or each would leave at another place.
  const auto between = job.scoring.base.shards() ? [] { pulse(); } : heed_stop_requests;
  return {job.scoring.base, examples, job.scoring.token_budget, between};
}

AnalysisItem routing_item(const AnalysisJob& job, size_t method, const EvalItem& scored) {
  AnalysisItem item{.part = AnalysisPart::routing, .method = method, .scored = {scored}};
  if (scored.first == 0) item.texts = std::min(scored.last, static_cast<size_t>(job.options.texts));
  item.key = sha256_hex(fmt::format("routing {}, {} texts, tokenizer {}\n{}\n", form_of_analysis, item.texts,
                                    job.scoring.tokenizer.digest, scored.key));
  item.name = scored.method.name + " · " + job.scoring.tasks[scored.task].name;
  item.work = {"watched " + scoring_kind(job.scoring, scored), scoring_flops(job.scoring, scored)};
  return item;
}

AnalysisItem knock_out_item(const AnalysisJob& job, size_t method, size_t expert) {
  const std::string& name = job.scoring.collection.names[expert];
  Method without = job.methods[method];
  without.eval.leave_out.push_back(name);
  AnalysisItem item{.part = AnalysisPart::knock_out, .method = method, .without = expert};
  item.name = without.name + " without " + name;
  item.scored = make_items(job.scoring, {without});
  std::string keys = fmt::format("knock-out {}\n", form_of_analysis);
  for (const EvalItem& scored : item.scored) {
    keys += scored.key + "\n";
    item.work.kind = scoring_kind(job.scoring, scored);
    item.work.flops += scoring_flops(job.scoring, scored);
  }
  item.key = sha256_hex(keys);
  return item;
}

AnalysisItem similarity_item(const AnalysisJob& job) {
  AnalysisItem item{.part = AnalysisPart::similarity, .name = "similarity of experts"};
  item.key = sha256_hex(fmt::format("similarity {}\n{}", form_of_analysis, job.scoring.pins));
  item.work.kind = "similarity of experts";
  for (size_t s = 0; s < job.scoring.collection.sites.size(); ++s) {
    double ranks = 0;
    for (const LowRank& pair : job.scoring.collection.sites[s].experts)
      if (pair.a.defined()) ranks += static_cast<double>(pair.a.size(0));
    const Site& site = job.scoring.base.sites()[s];
    item.work.flops += 2 * ranks * ranks * static_cast<double>(site.d_in + site.d_out);
  }
  return item;
}

nlohmann::ordered_json rows_json(const at::Tensor& matrix) {
  auto rows = nlohmann::ordered_json::array();
  for (int64_t i = 0; i < matrix.size(0); ++i) {
    const at::Tensor row = matrix[i].contiguous();
    rows.push_back(std::vector<double>(row.const_data_ptr<double>(), row.const_data_ptr<double>() + row.numel()));
  }
  return rows;
}

// take(json) of an item's file. Throws UserError naming it.
template <class Take>
void read_item(const fs::path& path, const Take& take) {
  try {
    take(parse_json<nlohmann::ordered_json>(read_file(path)));
  } catch (const nlohmann::json::exception& error) {
    user_error("{}: not a result of this program ({}): delete it, and it will be made again", path.string(),
               error.what());
  }
}

// All of one method on one task; null where a part of it has no result.
std::optional<RoutedExamples> routed_examples(const AnalysisJob& job, size_t method, size_t task) {
  RoutedExamples all;
  for (const AnalysisItem& item : job.items) {
    if (item.part != AnalysisPart::routing || item.method != method || item.scored[0].task != task) continue;
    const fs::path path = result_path(job.folder, item.key);
    if (!fs::exists(path)) return std::nullopt;
    add(all, read_routed(path));
  }
  return all;
}

// By task; NaN where it has no result.
std::vector<double> read_scores_without(const AnalysisJob& job, const AnalysisItem& item) {
  const size_t tasks = job.scoring.tasks.size();
  const fs::path path = result_path(job.folder, item.key);
  if (!fs::exists(path)) return std::vector<double>(tasks, NAN);
  std::vector<double> nll(tasks, 0), tokens(tasks, 0);
  read_item(path, [&](const auto& json) {
    for (size_t i = 0; i < item.scored.size(); ++i) {
      const auto& value = json.at("nll").at(i);
      nll[item.scored[i].task] += value.is_null() ? NAN : value.template get<double>();
      tokens[item.scored[i].task] += json.at("target_tokens").at(i).template get<double>();
    }
  });
  for (size_t t = 0; t < tasks; ++t) nll[t] /= tokens[t];
  return nll;
}

}  // namespace

std::vector<AnalysisItem> items_of_analysis(const AnalysisJob& job) {
  std::vector<AnalysisItem> items;
  for (size_t m = 0; m < job.methods.size(); ++m)
    for (const EvalItem& scored : make_items(job.scoring, {job.methods[m]}))
      items.push_back(routing_item(job, m, scored));
  for (size_t m = 0; m < job.methods.size() && job.options.knock_out; ++m)
    for (size_t z = 0; z < job.scoring.collection.names.size(); ++z) items.push_back(knock_out_item(job, m, z));
  items.push_back(similarity_item(job));
  return items;
}

std::string Analyser::run(const AnalysisItem& item) {
  if (item.part == AnalysisPart::routing) return routed_json(routing_of(item));
  return item.part == AnalysisPart::knock_out ? scores_without(item) : similarity();
}

RoutedExamples Analyser::routing_of(const AnalysisItem& item) {
  const EvalItem& scored = item.scored[0];
  const ScoredTask task = scored_task(job_.scoring.tasks[scored.task]);
  const auto examples = examples_of(job_, scored);
  RoutedAdapter& adapter = *adapters_.of(scored.method, task);
  const RoutedCollection& collection = job_.scoring.collection;
  const auto watch = [&] {
    return RoutingWatch(adapter, collection.sites.size(), collection.names.size(), collection.number_of(task.name),
                        classes_);
  };
  RoutedExamples routed;
  routed.examples = static_cast<int64_t>(examples.size());
  {
    RoutingWatch watched = watch();
    const TargetNll targets = nll_of_targets(passes_of(job_, examples), watched);
    routed.nll = targets.nll, routed.target_tokens = targets.tokens;
    routed.sums = watched.sums();
  }
  for (size_t i = 0; i < item.texts; ++i) {
    RoutingWatch watched = watch();
    nll_of_targets(passes_of(job_, examples.subspan(i, 1)), watched);
    routed.texts.push_back(text_json(examples[i].id, watched.tokens()));
  }
  return routed;
}

std::string Analyser::scores_without(const AnalysisItem& item) const {
  nlohmann::ordered_json json = {{"nll", nlohmann::ordered_json::array()},
                                 {"target_tokens", nlohmann::ordered_json::array()}};
  std::unique_ptr<RoutedAdapter> adapter;
  std::string made_for;
  for (const EvalItem& scored : item.scored) {
    const ScoredTask task = scored_task(job_.scoring.tasks[scored.task]);
    if (!adapter || (depends_on_task(scored.method) && task.name != made_for)) {
      adapter = make_adapter(scored.method, job_.scoring.collection, job_.scoring.prepared, job_.scoring.seed,
                             job_.scoring.base, task);
      made_for = task.name;
    }
    const TargetNll targets = nll_of_targets(passes_of(job_, examples_of(job_, scored)), *adapter);
    json["nll"].push_back(targets.nll);
    json["target_tokens"].push_back(targets.tokens);
  }
  return json.dump() + "\n";
}

std::string Analyser::similarity() const {
  const Registry registry = open_registry(job_.context, /*create=*/false);
  std::vector<PeftAdapter> experts;
  for (const Version& expert : members_of(registry, job_.sources.collection_pin).experts)
    experts.push_back(read_adapter(expert));
  const std::vector<std::string>& names = job_.scoring.collection.names;
  const nlohmann::ordered_json json = {{"gates", rows_json(gate_cosines(experts, names))},
                                       {"loras", rows_json(cosines(expert_products(experts, names)))}};
  return json.dump() + "\n";
}

Analysis analysis_of(const AnalysisJob& job) {
  Analysis analysis;
  const BaseModel& base = job.scoring.base;
  analysis.of = results_of({{"collection", job.sources.collection_name}}, base.spec().name, base.content_digest());
  analysis.split = split_names[static_cast<size_t>(job.scoring.split)];
  analysis.experts = job.scoring.collection.names;
  analysis.sites = base.sites();
  for (const TokenTask& task : job.scoring.tasks) analysis.tasks.push_back(task.name);
  for (size_t m = 0; m < job.methods.size(); ++m) {
    MethodRouting& method = analysis.methods.emplace_back();
    method.name = job.methods[m].name;
    for (size_t t = 0; t < analysis.tasks.size(); ++t) method.tasks.push_back(routed_examples(job, m, t));
  }
  for (const AnalysisItem& item : job.items) {
    if (item.part == AnalysisPart::knock_out)
      analysis.methods[item.method].without.push_back(read_scores_without(job, item));
    const fs::path path = result_path(job.folder, item.key);
    if (!fs::exists(path)) {
      analysis.missing.push_back(item.name);
    } else if (item.part == AnalysisPart::similarity) {
      read_item(path, [&](const auto& json) {
        analysis.gate_similarity = json.at("gates");
        analysis.lora_similarity = json.at("loras");
      });
    }
  }
  return analysis;
}

}  // namespace gaggle
