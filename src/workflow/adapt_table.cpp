// The end of gaggle adapt: one table over tasks and methods, one over methods, results.json.
#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/log.h"
#include "base/table.h"
#include "config/read.h"
#include "workflow/adapt.h"

namespace gaggle {
namespace {

// One number over seeds. NaN: not measured, or a seed is missing.
struct OverSeeds {
  double median = NAN, mean = NAN, least = NAN, most = NAN;
};

OverSeeds over_seeds(std::vector<double> values, size_t seeds) {
  if (values.size() != seeds || std::ranges::any_of(values, [](double v) { return std::isnan(v); })) return {};
  std::ranges::sort(values);
  OverSeeds out;
  out.median = median_of(values);
  out.mean = 0;
  for (const double value : values) out.mean += value / static_cast<double>(values.size());
  out.least = values.front();
  out.most = values.back();
  return out;
}

// A method on a task from so many examples.
struct AdaptCell {
  int64_t trained = 0;
  std::vector<double> accuracies, nlls;  // by seed, of those that are there
  OverSeeds accuracy, nll;
};

struct CellName {
  size_t task = 0;
  int64_t shots = 0;
  AdaptMethod method = {};
  auto operator<=>(const CellName&) const = default;
};

struct AdaptResults {
  std::vector<std::optional<AdaptScore>> by_item;
  std::vector<Score> base;  // by task
  std::map<CellName, AdaptCell> cells;
  std::vector<std::string> missing;
};

AdaptResults read_results(const AdaptJob& job) {
  AdaptResults results;
  results.base.resize(job.tasks.size());
  for (const AdaptItem& item : job.items) {
    const auto result = results.by_item.emplace_back(read_adapt_result(job, item));
    if (!result) results.missing.push_back(item.name);
    if (!item.recipe) {
      if (result) results.base[item.task] = result->score;
      continue;
    }
    AdaptCell& cell = results.cells[{item.task, item.shots, item.recipe->method}];
    cell.trained = item.recipe->trained();
    if (!result) continue;
    cell.accuracies.push_back(100 * result->score.mean_score());
    cell.nlls.push_back(result->score.nll_per_token());
  }
  const auto seeds = static_cast<size_t>(job.config().adapt.seeds);
  for (auto& [name, cell] : results.cells) {
    cell.accuracy = over_seeds(cell.accuracies, seeds);
    cell.nll = over_seeds(cell.nlls, seeds);
  }
  return results;
}

std::string range_text(const OverSeeds& o) {
  if (!std::isfinite(o.most)) return cell_text(o.most, 1);
  return fmt::format("{:.1f} to {:.1f}", o.least, o.most);
}

// What a percentage is of: right answers, or scores where some task's metric gives shares (F1, ROUGE-L).
std::string measured(const AdaptJob& job) {
  return std::ranges::any_of(job.tasks, is_a_share, &TokenTask::metric) ? "score %" : "right %";
}

Table task_table(const AdaptJob& job, const AdaptResults& results) {
  Table table({"task", "method", "shots", "trained values", measured(job) + ": median", "mean", "min to max", "base",
               "NLL/token: median", "base NLL/token"});
  for (size_t t = 0; t < job.tasks.size(); ++t)
    for (const int64_t shots : job.config().adapt.shots)
      for (const AdaptMethod method : job.methods) {
        const AdaptCell& cell = results.cells.at({t, shots, method});
        table.add({job.tasks[t].name, method_name(method), shots_text(shots), with_commas(cell.trained),
                   cell_text(cell.accuracy.median, 1), cell_text(cell.accuracy.mean, 1), range_text(cell.accuracy),
                   cell_text(100 * results.base[t].mean_score(), 1), cell_text(cell.nll.median, 3),
                   cell_text(results.base[t].nll_per_token(), 3)});
      }
  return table;
}

// Means over tasks of the seeds' medians. NaN where a task has none: no mean over fewer tasks than the others'.
struct OverTasks {
  double accuracy = 0, nll = 0;
};

OverTasks over_tasks(const AdaptJob& job, const AdaptResults& results, int64_t shots, AdaptMethod method) {
  OverTasks mean;
  const auto tasks = static_cast<double>(job.tasks.size());
  for (size_t t = 0; t < job.tasks.size(); ++t) {
    const AdaptCell& cell = results.cells.at({t, shots, method});
    // A task whose metric is NLL alone has no accuracy with any method.
    mean.accuracy += cell.accuracy.median / tasks;
    mean.nll += cell.nll.median / tasks;
  }
  return mean;
}

Page method_table(const AdaptJob& job, const AdaptResults& results) {
  Table table(
      {plural(static_cast<int64_t>(job.tasks.size()), "task"), "shots", "trained values", measured(job), "NLL/token"});
  OverTasks base;
  const auto tasks = static_cast<double>(job.tasks.size());
  for (const Score& score : results.base) {
    base.accuracy += 100 * score.mean_score() / tasks;
    base.nll += score.nll_per_token() / tasks;
  }
  table.add({"base", "-", "0", cell_text(base.accuracy, 1), cell_text(base.nll, 3)});
  for (const int64_t shots : job.config().adapt.shots)
    for (const AdaptMethod method : job.methods) {
      const OverTasks mean = over_tasks(job, results, shots, method);
      table.add({method_name(method), shots_text(shots), with_commas(results.cells.at({0, shots, method}).trained),
                 cell_text(mean.accuracy, 1), cell_text(mean.nll, 3)});
    }
  return Page(std::move(table)) + "means over tasks of the medians over seeds\n";
}

nlohmann::ordered_json json_of(const OverSeeds& o) {
  return {{"median", o.median}, {"mean", o.mean}, {"min", o.least}, {"max", o.most}};
}

nlohmann::ordered_json json_of(const Score& score) {
  nlohmann::ordered_json json = {{"examples", score.nll.rows},
                                 {"target_tokens", std::llround(score.nll.weight)},
                                 {"nll_per_token", score.nll_per_token()}};
  if (score.points.rows > 0) json["right_percent"] = 100 * score.mean_score();
  return json;
}

nlohmann::ordered_json results_of_job(const AdaptJob& job) {
  const auto pin = [](const std::optional<Inventory>& from) {
    return from ? nlohmann::ordered_json(from->pin()) : nlohmann::ordered_json(nullptr);
  };
  const BaseModel& base = job.context.base;
  return results_of({{"from", pin(job.from)}, {"shared_from", pin(job.shared)}}, base.spec().name,
                    base.content_digest());
}

// Numbers that are not there become null: JSON has no NaN.
std::string results_json(const AdaptJob& job, const AdaptResults& results, const nlohmann::ordered_json& of) {
  using Json = nlohmann::ordered_json;
  Json tasks = Json::object(), items = Json::array(), table = Json::array(), methods = Json::array();
  for (size_t t = 0; t < job.tasks.size(); ++t)
    tasks[job.tasks[t].name] = {{"metric", job.tasks[t].metric}, {"base", json_of(results.base[t])}};
  for (size_t i = 0; i < job.items.size(); ++i) {
    const AdaptItem& item = job.items[i];
    if (!item.recipe || !results.by_item[i]) continue;
    Json json = {{"name", item.name},
                 {"task", job.tasks[item.task].name},
                 {"method", method_name(item.recipe->method)},
                 {"shots", item.shots},
                 {"seed", item.recipe->seed},
                 {"trained_values", item.recipe->trained()},
                 {"stored", results.by_item[i]->stored}};
    json.update(json_of(results.by_item[i]->score));
    items.push_back(json);
  }
  for (const auto& [name, cell] : results.cells)
    table.push_back({{"task", job.tasks[name.task].name},
                     {"method", method_name(name.method)},
                     {"shots", name.shots},
                     {"trained_values", cell.trained},
                     {"right_percent", json_of(cell.accuracy)},
                     {"nll_per_token", json_of(cell.nll)}});
  for (const int64_t shots : job.config().adapt.shots)
    for (const AdaptMethod method : job.methods) {
      const OverTasks mean = over_tasks(job, results, shots, method);
      methods.push_back({{"method", method_name(method)},
                         {"shots", shots},
                         {"right_percent", mean.accuracy},
                         {"nll_per_token", mean.nll}});
    }
  Json json = {{"format", 1}};
  json.update(of);
  json.update(
      {{"tasks", tasks}, {"items", items}, {"table", table}, {"methods", methods}, {"missing", results.missing}});
  return json.dump(2) + "\n";
}

}  // namespace

Page adapt_closing_page(const AdaptJob& job) {
  const AdaptResults results = read_results(job);
  const nlohmann::ordered_json of = results_of_job(job);
  const std::string ending = ending_of_names(job.folder(), of);
  const fs::path file = job.folder() / fmt::format("results{}.json", ending);
  write_file_atomic(file, results_json(job, results, of));
  if (!ending.empty()) log::info("results.json there is of another inventory or base: these have a name of their own");
  return Page("\n") + task_table(job, results) + "\n" + method_table(job, results) + glossary_line() +
         fmt::format("\n{}   these tables, and every seed's score\nnext: gaggle registry ls {} lists what was stored\n",
                     file.string(), typed_again(job.context.config));
}

}  // namespace gaggle
