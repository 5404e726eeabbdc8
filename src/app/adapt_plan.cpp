#include "app/adapt_plan.h"

#include <algorithm>

#include "app/adapt_commit.h"
#include "app/plan_lines.h"
#include "base/error.h"
#include "base/file.h"
#include "base/names.h"
#include "base/table.h"

namespace gaggle {
namespace {

std::string inventory_words(const AdaptJob& job, const Inventory& from) {
  const PolySpec& spec = from.spec;
  const bool vectors = spec.skill == SkillKind::rescaling;
  return fmt::format("{} of {}   {}: {} of {}, {}, on {} sites, pretrained on {}", from.pin(),
                     fs::path(job.config.registry.path).lexically_normal().string(), from.method,
                     plural(static_cast<size_t>(spec.skills), "skill"),
                     vectors ? std::string("(IA)³") : fmt::format("rank {}", spec.sites[0].rank),
                     plural(static_cast<size_t>(spec.heads), "head"), spec.sites.size(),
                     plural(from.tasks.size(), "task"));
}

std::string task_words(const AdaptJob& job) {
  std::vector<std::string> names;
  size_t least = SIZE_MAX, most = 0, scored = 0;
  for (size_t t = 0; t < job.tasks.size(); ++t) {
    const size_t rows = job.tasks[t].rows(Split::train).size();
    names.push_back(job.tasks[t].name);
    least = std::min(least, rows);
    most = std::max(most, rows);
    scored += job.scored_rows(t);
  }
  return fmt::format("{}: {}; {} training rows each, {} rows of split {} scored", plural(names.size(), "task"),
                     join(names, ", "),
                     least == most ? std::to_string(most) : fmt::format("{} to {}", least, most),
                     with_commas(static_cast<int64_t>(scored)), job.config.eval.split);
}

std::string shots_words(const AdaptJob& job) {
  std::vector<std::string> shots;
  for (const int64_t n : job.config.adapt.shots) shots.push_back(n == 0 ? "all" : std::to_string(n));
  return fmt::format("{} training rows; seeds {}; every method sees the same rows", join(shots, ", "),
                     fmt::format("{}", fmt::join(job.seeds(), ", ")));
}

// Of each rate that some method uses: "lr 0.001, of routing rows 0.1".
std::string rate_words(const AdaptJob& job) {
  std::optional<double> values, rows;
  for (const AdaptItem& item : job.items) {
    if (!item.recipe) continue;
    const AdaptRecipe& recipe = *item.recipe;
    const double lr = recipe.phase.schedule.lr;
    if (recipe.method != AdaptMethod::z) values = lr;
    if (!recipe.one_adapter() && recipe.spec.routing == Routing::learned)
      rows = lr * recipe.phase.step.optimizer.router_rate;
  }
  std::vector<std::string> words;
  if (values) words.push_back(fmt::format("lr {:g}", *values));
  if (rows) words.push_back(fmt::format("lr of routing rows {:g}", *rows));
  return join(words, ", ");
}

std::string training_words(const AdaptJob& job) {
  const PhaseSettings& phase = job.items.back().recipe->phase;  // the first item is the base alone
  return fmt::format("{} of {} rows in {}, {}, {}{}, loss {}; the last step is kept, no rows validate",
                     plural(static_cast<size_t>(phase.schedule.steps), "step"), phase.batch_size,
                     plural(static_cast<size_t>(phase.step.lanes), "lane"), phase.step.optimizer.kind,
                     rate_words(job), phase.schedule.linear ? ", falling to 0" : "",
                     phase.step.tfew ? "lm + unlikelihood + ranking (tfew)" : "lm");
}

const char* method_words(AdaptMethod method) {
  switch (method) {
    case AdaptMethod::full:
      return "a fresh routing row and the skills";
    case AdaptMethod::z:
      return "a fresh routing row alone";
    case AdaptMethod::mu_collapsed:
      return "the skills' average, one adapter";
    case AdaptMethod::mu_kept:
      return "the skills under uniform weights, averaged at the end";
    case AdaptMethod::random:
      return "a fresh routing row and fresh skills of the same shape";
    case AdaptMethod::shared:
      return "the adapter that all tasks shared";
    case AdaptMethod::lora:
      return "a LoRA from scratch";
  }
  return "";
}

std::string warnings_text(const AdaptJob& job) {
  std::string text;
  const auto warn = [&](const std::string& words) { text += plan_line("warning", words); };
  for (const auto* inventory : {&job.from, &job.shared}) {
    if (!*inventory) continue;
    std::vector<std::string> known;
    for (const TokenTask& task : job.tasks)
      if ((*inventory)->task_number(task.name) >= 0) known.push_back(task.name);
    if (!known.empty())
      warn(
          fmt::format("{} {} among the tasks that {} was pretrained on: the scores are not those of a new task",
                      join(known, ", "), known.size() == 1 ? "is" : "are", (*inventory)->name));
  }
  if (job.config.cluster.ranks_per_expert > 1)
    warn("cluster.ranks_per_expert is not used here: every item is made by one rank");
  if (job.config.train.keep == "best")
    warn("train.keep = \"best\" is not used here: of a few shots none are kept back to validate on");
  return text;
}

}  // namespace

std::string adapt_plan_text(const AdaptJob& job, size_t done) {
  std::string text = machine_line(job.session, job.base, job.gemm_flops);
  const auto line = [&](const char* label, const std::string& words) { text += plan_line(label, words); };
  line("model", model_words(job.base));
  if (job.from) line("from", inventory_words(job, *job.from));
  if (job.shared) line("shared", inventory_words(job, *job.shared));
  line("tasks", task_words(job));
  line("shots", shots_words(job));
  line("train", training_words(job));
  for (const AdaptMethod& method : job.methods) {
    const auto item = std::ranges::find_if(
        job.items, [&](const AdaptItem& i) { return i.recipe && i.recipe->method == method; });
    line(&method == &job.methods.front() ? "methods" : "",
         fmt::format("{:<8} {} trained: {}, stored in {}/", method_name(method),
                     with_commas(item->recipe->trained()), method_words(method),
                     words_of(stored_kind(*item->recipe)).folder));
  }
  text += warnings_text(job);
  line("work", fmt::format("{} ({} of the base alone), {} of them done already, results in {}",
                           plural(job.items.size(), "item"), job.tasks.size(), done, job.folder.string()));
  double seconds = 0, longest = 0;
  for (const AdaptItem& item : job.items) seconds += item.seconds, longest = std::max(longest, item.seconds);
  if (done < job.items.size())
    line("time", "about " + time_text(std::max(longest, seconds / job.session.world->size())) +
                     (done > 0 ? " for all of them, done ones included" : ""));
  return text;
}

}  // namespace gaggle
