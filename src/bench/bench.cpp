#include "bench/bench.h"

#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <optional>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/names.h"
#include "base/pulse.h"
#include "base/table.h"
#include "base/terminal.h"
#include "bench/cases.h"
#include "bench/report.h"
#include "doctor/link_speed.h"
#include "job/inputs.h"
#include "job/machine.h"
#include "job/session.h"
#include "kernel/dispatch.h"
#include "model/hardware.h"
#include "model/memory.h"

namespace gaggle {
namespace {

constexpr double all_to_all_bytes = 16 << 20;  // what its line gives the time of

// What is wrong with the options must be said before minutes are spent.
std::optional<BenchResult> checked(const BenchOptions& options) {
  if (options.fail_if_worse && options.compare.empty())
    user_error("--fail-if-worse: worse than what? Name a file of an earlier run with --compare");
  if (!options.json.empty()) {
    if (fs::is_directory(options.json)) user_error("--json {}: it is a folder; name a file", options.json);
    check_writable(fs::absolute(options.json).parent_path(), "--json");
  }
  if (options.compare.empty()) return std::nullopt;
  return bench_result_of(read_file(options.compare), options.compare);
}

Config small_config(Config config) {
  config.plan.input_tokens = 48;
  config.plan.target_tokens = 16;
  config.train.tokens_per_microbatch = 512;
  config.train.batch_size = 16;
  config.eval.max_new_tokens = 8;
  return config;
}

// Without those whose experts do not fit in memory, all of them at once as the rounds need them.
std::vector<int64_t> experts_that_fit(const BenchSubject& subject, std::vector<int64_t> experts) {
  double one = 0;
  for (const LoraSite& s : subject.lora)
    one += static_cast<double>(s.rank * (s.site.d_in + s.site.d_out)) * subject.element() +
           4 * static_cast<double>(s.site.d_in);
  const int64_t free = free_memory(subject.base.device());
  std::ranges::sort(experts);
  experts.erase(std::unique(experts.begin(), experts.end()), experts.end());
  double all = 0;
  for (size_t i = 0; i < experts.size(); ++i) {
    all += one * static_cast<double>(experts[i]);
    if (free < 0 || all <= 0.8 * static_cast<double>(free)) continue;
    log::warning("N = {} and more experts are left out: {} are needed, {} are free", experts[i],
                 bytes_text(static_cast<uint64_t>(all)), bytes_text(static_cast<uint64_t>(free)));
    experts.resize(i);
  }
  return experts;
}

// The machine's cases always, for the shares of all others; of these what --only names.
std::vector<BenchCase> wanted_cases(const SharedSubject& subject, const BenchOptions& options) {
  std::vector<int64_t> experts = options.experts;
  if (experts.empty()) experts = options.small ? std::vector<int64_t>{1, 8} : std::vector<int64_t>{1, 8, 64, 256};
  experts = experts_that_fit(*subject, experts);
  std::vector<BenchCase> cases = machine_cases(subject), others = kernel_cases(subject, experts);
  std::ranges::move(step_cases(subject, experts), std::back_inserter(others));
  std::vector<std::string> known = {machine_group};  // groups, and the first words of names
  for (const BenchCase& each : others)
    for (const std::string& name : {each.group, each.name.substr(0, each.name.find(' '))})
      if (std::ranges::find(known, name) == known.end()) known.push_back(name);
  const auto names = [](const std::string& word, const BenchCase& what) {
    return what.group == word || what.name.starts_with(word);
  };
  for (const std::string& word : options.only)
    if (word != machine_group && std::ranges::none_of(others, [&](const auto& each) { return names(word, each); }))
      user_error("--only {}: no group and no line begins so ({})", in_quotes(word), known_names(word, known));
  for (BenchCase& each : others)
    if (options.only.empty() || std::ranges::any_of(options.only, [&](const auto& w) { return names(w, each); }))
      cases.push_back(std::move(each));
  return cases;
}

Timing timing_of(const Session& session, const BenchOptions& options) {
  Timing timing;
  timing.repeats = options.repeats > 0 ? options.repeats : 7;
  if (options.small) timing.least_seconds = 0.005;
  timing.wait = [device = session.device] { wait_for(device); };
  timing.meet = [&session] {
    pulse();
    session.world->barrier();
  };
  return timing;
}

std::vector<BenchLine> measure(const Session& session, std::span<const BenchCase> cases, Timing timing) {
  std::vector<double> all_to_all;
  timing.after_round = [&, begun = monotonic_seconds()](int64_t round) {
    if (session.world->size() > 1)
      all_to_all.push_back(all_to_all_bytes / measure_all_to_all(*session.world).bytes_per_s);
    pulse("bench", round);
    pulse_under_way();
    log::info("round {} of {} after {}", round + 1, timing.repeats, time_text(monotonic_seconds() - begun));
  };
  log::info("{}: each is made and warmed up, then {}", plural(static_cast<int64_t>(cases.size()), "line"),
            plural(timing.repeats, "round"));
  std::vector<BenchLine> lines = run_rounds(cases, timing);
  const auto last = std::ranges::find_if(lines, [](const BenchLine& line) { return line.group != machine_group; });
  if (!all_to_all.empty())
    lines.insert(last, {machine_group, "all-to-all", 0, all_to_all_bytes, 0, spread_of(all_to_all), {}});
  return lines;
}

BenchResult result_of(const Session& session, const BenchSubject& subject, std::span<const BenchCase> cases,
                      const Timing& timing) {
  BenchResult result;
  result.machine = nlohmann::ordered_json(machine_of(session));
  result.machine["computes"] = hardware_text(session.device, subject.base.dtype());
  result.machine["ranks"] = session.world->size();
  result.subject = {{"base", subject.base.spec().name},
                    {"linear_weights", subject.base.linear_weights()},
                    {"rows", subject.examples.size()},
                    {"tokens", subject.batch.token_count()},
                    {"targets", subject.batch.target_ids.size()}};
  result.repeats = timing.repeats;
  result.lines = measure(session, cases, timing);
  std::vector<double> seconds;
  for (const BenchCase& each : cases)
    seconds.push_back(std::ranges::find(result.lines, each.name, &BenchLine::name)->seconds.median);
  result.rates = machine_rates(cases, seconds);
  return result;
}

std::string head_block(const BenchOptions& options, const BenchResult& result) {
  const auto text = [](const nlohmann::ordered_json& value) {
    return value.is_string() ? shown(value.get<std::string>()) : value.dump();
  };
  return fmt::format("{}\n{}, {}, threads {}, ranks {}\n{}: {} tokens in {} rows, {} scored; {}\n", options.title,
                     text(result.machine["processor"]), text(result.machine["computes"]),
                     text(result.machine["threads"]), text(result.machine["ranks"]), text(result.subject["base"]),
                     text(result.subject["tokens"]), text(result.subject["rows"]), text(result.subject["targets"]),
                     plural(result.repeats, "repeat"));
}

}  // namespace

Exit run_bench(const Config& given, const BenchOptions& options) {
  const Config config = options.small ? small_config(given) : given;
  const std::optional<BenchResult> before = checked(options);
  Session session = start_session(config, Purpose::look);
  const c10::InferenceMode no_autograd;
  const Inputs inputs = open_inputs(config);
  const auto base = load_base(config, inputs, session, BaseUse::training);
  check_machines_alike(session, config.run.strict);
  const auto subject = std::make_shared<const BenchSubject>(config, *base);
  const BenchResult result = result_of(session, *subject, wanted_cases(subject, options), timing_of(session, options));
  std::optional<BenchComparison> comparison;
  if (before) comparison = compare_lines(before->lines, result.lines, before->machine == result.machine);
  if (before && std::min(before->repeats, result.repeats) < 3)
    log::warning("--compare: fewer than 3 rounds say nothing of the noise; measure both with --repeats 3 or more");
  if (session.world->rank() == 0) {
    (Page(head_block(options, result)) + bench_page(result, comparison ? &*comparison : nullptr)).print();
    if (!options.json.empty()) write_file_atomic(options.json, bench_json(result));
    const std::string file = options.json.empty() ? "FILE" : options.json;
    log::info("next: {}gaggle bench {} --compare {} holds later numbers against these",
              options.json.empty() ? "--json FILE keeps them, " : "", given.file, file);
  }
  end_session(session);
  // The first rank's numbers count: another one may differ in what is beyond the noise.
  const bool worse = comparison && comparison->any_worse && session.identity.rank == 0;
  return options.fail_if_worse && worse ? Exit::failed : Exit::done;
}

}  // namespace gaggle
