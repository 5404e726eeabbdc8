// What each key of a first config is, and why.
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/names.h"
#include "base/table.h"
#include "config/schema.h"
#include "data/chat_template.h"
#include "job/cost.h"
#include "job/machine.h"
#include "job/speeds.h"
#include "model/hardware.h"
#include "model/memory.h"
#include "workflow/experts.h"
#include "workflow/first_config.h"
#include "workflow/packs.h"

namespace gaggle {
namespace {

constexpr double most_training_s = 300;  // what "within minutes" means
constexpr int64_t length_step = 32;      // limits are multiples of it

// What rows come to, sorted.
struct Lengths {
  std::vector<int64_t> inputs, targets, answers;  // answers: targets of tasks whose output is generated
};

Lengths lengths_of(const std::vector<SeenTask>& tasks) {
  Lengths lengths;
  for (const SeenTask& task : tasks)
    for (const auto& split : task.tokens.splits)
      for (const TokenExample& example : split) {
        const auto& prompt = example.source.empty() ? example.input : example.source;
        lengths.inputs.push_back(static_cast<int64_t>(prompt.size()));
        auto longest = static_cast<int64_t>(example.target.size());
        for (const auto& choice : example.choices) longest = std::max(longest, static_cast<int64_t>(choice.size()));
        lengths.targets.push_back(longest);
        if (is_of_generated(task.metric)) lengths.answers.push_back(static_cast<int64_t>(example.target.size()));
      }
  for (auto* of : {&lengths.inputs, &lengths.targets, &lengths.answers}) std::ranges::sort(*of);
  return lengths;
}

int64_t rounded_up(int64_t tokens) { return (tokens + length_step - 1) / length_step * length_step; }

// Room for the longest where that is at most `common`; else for 95 of 100, within `most`.
void choose_limit(FirstConfig& first, const std::string& key, const std::vector<int64_t>& sorted, int64_t common,
                  int64_t most, const char* what) {
  common = std::min(common, most);
  const int64_t longest = sorted.back();
  if (longest <= common)
    return first.choose(key, std::to_string(std::min(rounded_up(longest), most)),
                        fmt::format("the longest {} has {} tokens", what, longest));
  const int64_t usual = sorted[(sorted.size() - 1) * 95 / 100];
  const int64_t limit = std::min(rounded_up(std::max(common, usual)), most);
  const auto cut = static_cast<int64_t>(sorted.end() - std::ranges::upper_bound(sorted, limit));
  first.choose(key, std::to_string(limit),
               fmt::format("the longest {} has {} tokens; {} of {} are longer than this and get cut", what, longest,
                           with_commas(cut), with_commas(static_cast<int64_t>(sorted.size()))));
}

int64_t power_of_two_within(int64_t number) {
  int64_t power = 1;
  while (2 * power <= number) power *= 2;
  return power;
}

// Numbers of training rows, sorted.
std::vector<int64_t> training_rows(const std::vector<SeenTask>& tasks) {
  std::vector<int64_t> rows;
  for (const SeenTask& task : tasks)
    if (task.rows[0] > 0) rows.push_back(task.rows[0]);
  std::ranges::sort(rows);
  return rows;
}

// Of training, for each task.
struct Amount {
  int64_t batch = 0, steps = 0, gate = 0;
  double rows() const { return static_cast<double>(batch * (steps + gate)); }
};

// Three times through the task in the middle; the smallest is not to be learnt by heart.
Amount wanted_amount(int64_t least, int64_t middle) {
  const int64_t batch = std::clamp<int64_t>(power_of_two_within(least / 8), 4, 16);
  const int64_t enough = std::clamp<int64_t>(3 * middle / batch, 60, 400),
                most = std::max<int64_t>(20, 10 * least / batch);
  const int64_t steps = std::min(enough, most);
  return {batch, steps, std::clamp<int64_t>(steps / 3, 20, 100)};
}

// The same in less time, which falls with the rows: fewer steps, then smaller batches. `seconds`: what it takes as it is.
Amount within_minutes(Amount amount, double seconds) {
  constexpr int64_t least_steps = 20, least_gate = 10, least_batch = 4;
  const double rows = amount.rows() * std::min(1.0, most_training_s / std::max(1e-9, seconds));
  while (amount.batch > least_batch && static_cast<double>(amount.batch * (least_steps + least_gate)) > rows)
    amount.batch /= 2;
  const double fit = std::min(1.0, rows / amount.rows());
  amount.steps = std::max(least_steps, static_cast<int64_t>(fit * static_cast<double>(amount.steps)));
  amount.gate = std::max(least_gate, static_cast<int64_t>(fit * static_cast<double>(amount.gate)));
  return amount;
}

// Expected seconds of training as the config is now, and FLOP per second that it goes at.
struct Expected {
  double seconds = 0, flops_per_s = 0;
};

Expected expected_of_training(const Config& config, const std::vector<SeenTask>& tasks, Session& session,
                              BaseModel& base) {
  const JobOptions options;
  const JobContext context{config, options, session, base, measure_together(session, base.dtype())};
  ExpertJob experts{context, {}};
  for (const SeenTask& task : tasks)
    if (task.rows[0] > 0)
      experts.items.push_back(
          {task.name, &task.tokens,
           expert_recipe({config.run.seed, base.sites(), base.content_digest(), base.dtype()},
                         {config.lora, config.train, config.gate, config.cluster.ranks_per_expert}, task.tokens)});
  experts.packs = form_packs(experts.items, config.train);
  Job job = expert_items(experts);
  job.result = [](const WorkItem&) { return std::nullopt; };
  expect_costs(context, job);
  Expected expected;
  double flops = 0;
  for (size_t i = 0; i < job.items.size(); ++i) expected.seconds += job.items[i].cost, flops += job.work[i].flops;
  expected.flops_per_s = flops / std::max(1e-9, expected.seconds);
  return expected;
}

}  // namespace

void choose_prompt(FirstConfig& first, const Tokenizer& tokenizer) {
  Prompt prompt;
  try {
    prompt = prompt_for("auto", tokenizer, "data.prompt");
  } catch (const UserError&) {
    return first.choose("data.prompt", toml_quoted("{input}\n"),
                        tokenizer.chat_template.empty()
                            ? "the model has no chat template"
                            : "the model's chat template is none that gaggle writes (docs/tasks.md, Prompts)");
  }
  first.choose("data.prompt", toml_quoted(prompt.text), "what the model's own chat template writes");
  const std::string end = chat_end(prompt.form);
  if (!end.empty() && tokenizer.eos != tokenizer.id_of(end))
    first.choose("data.end", toml_quoted(end),
                 "ends an answer in this format, and is not the tokenizer's end of sequence");
}

void choose_limits(FirstConfig& first, const std::vector<SeenTask>& tasks, const ModelSpec& spec) {
  const Lengths lengths = lengths_of(tasks);
  choose_limit(first, "data.max_target_tokens", lengths.targets, 256, 512, "answer or choice");
  const int64_t left = spec.max_positions > 0 ? spec.max_positions - first.config.data.max_target_tokens : 1024;
  choose_limit(first, "data.max_input_tokens", lengths.inputs, 512, std::clamp<int64_t>(left, length_step, 1024),
               "prompt");
  if (!lengths.answers.empty())
    first.choose("eval.max_new_tokens",
                 std::to_string(std::min(lengths.answers.back(), first.config.data.max_target_tokens)),
                 "as many as the longest answer that is generated");
}

void choose_machine(FirstConfig& first, const Inputs& inputs, const Session& session) {
  const at::ScalarType dtype = resolve_dtype("auto", session.device);
  first.choose("run.device", toml_quoted("auto"),
               fmt::format("here: {}, {}", session.device.is_cpu() ? "the processor" : "a GPU",
                           plural(session.threads, "thread")));
  first.choose("model.dtype", toml_quoted("auto"), "here: " + hardware_text(session.device, dtype));
  if (session.free_memory < 0) return;
  const auto needs = [&](Storage storage) {
    return static_cast<double>(
        memory_need(*inputs.checkpoint, dtype, session.device, BaseUse::training, storage).held());
  };
  const auto free = static_cast<double>(session.free_memory), plain = needs(Storage::dtype);
  constexpr double for_the_base = 0.8;  // the rest is what a pass keeps, and the program
  if (plain <= for_the_base * free) return;
  for (const char* storage : {"int8", "nf4"})
    if (needs(storage_named(storage)) <= for_the_base * free)
      return first.choose(
          "model.storage", toml_quoted(storage),
          fmt::format("the base's linears as they are need {}, and {} are free",
                      bytes_text(static_cast<uint64_t>(plain)), bytes_text(static_cast<uint64_t>(free))));
}

std::array<double, 2> choose_training(FirstConfig& first, const std::vector<SeenTask>& tasks, const ExpertsThere& there,
                                      Session& session, BaseModel& base) {
  const std::vector<int64_t> rows = training_rows(tasks);
  const int64_t least = rows.front(), middle = rows[rows.size() / 2];
  first.choose("lora.rank", "16", "enough for most tasks");
  first.choose("train.lr", "2e-3",
               "with alpha 1; below the default, so that an expert leaves its gate something to learn");
  first.choose("train.schedule", toml_quoted("linear"), "falling to 0, for the same reason");
  const Amount wanted = wanted_amount(least, middle);
  Config tried = first.config;
  tried.train.batch_size = wanted.batch, tried.train.steps = wanted.steps, tried.gate.steps = wanted.gate;
  const Expected expected = expected_of_training(tried, tasks, session, base);
  const Amount amount = within_minutes(wanted, expected.seconds);
  first.choose("train.batch_size", std::to_string(amount.batch),
               fmt::format("the smallest task has {} rows to train on", with_commas(least)));
  const bool less = amount.rows() < wanted.rows();
  first.choose(
      "train.steps", std::to_string(amount.steps),
      fmt::format("{:.1f} times through a task of {} rows{}",
                  static_cast<double>(amount.steps * amount.batch) / static_cast<double>(middle), with_commas(middle),
                  less ? fmt::format("; {} of {} would take {} here now", wanted.steps, wanted.batch,
                                     time_text(expected.seconds))
                       : ""));
  first.choose("gate.steps", std::to_string(amount.gate), "fewer: gates learn faster");
  const double training_s = expected.seconds * amount.rows() / wanted.rows();
  return {training_s, choose_evaluation(first, tasks, there, base, expected.flops_per_s)};
}

}  // namespace gaggle
