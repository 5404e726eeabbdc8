// simulate: how long a run of many workers would take, on average and at worst, against the best that any
// schedule could do.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/error.h"
#include "base/log.h"
#include "base/table.h"
#include "simulate/simulation.h"

namespace gaggle {
namespace {

struct Options {
  SimulationSettings settings;
  std::string items = "166";
  double hours = 1, spread = 0.5, failures_percent = 0;
  std::vector<int> workers = {8, 16, 32, 64, 128, 256, 512};
  int seeds = 100;
};

// Lines "HOURS" or "NAME HOURS"; # begins a comment.
std::vector<double> hours_in(const std::string& path) {
  std::ifstream file(path);
  if (!file) user_error("--items: {} is neither a number nor a file that can be read", path);
  std::vector<double> hours;
  int number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    std::istringstream words(line.substr(0, line.find('#')));
    std::string word, last, extra;
    if (!(words >> word)) continue;
    last = words >> last ? last : word;
    char* end = nullptr;
    const double value = std::strtod(last.c_str(), &end);
    if (*end != 0 || !std::isfinite(value) || value <= 0 || words >> extra)
      user_error("{}:{}: expected HOURS or NAME HOURS, hours above 0", path, number);
    hours.push_back(value);
  }
  if (hours.empty()) user_error("{}: no items", path);
  return hours;
}

// The durations of one seed: a list stays as it is.
std::vector<double> hours_of(const Options& options, uint64_t seed) {
  if (options.items.find_first_not_of("0123456789") != std::string::npos) return hours_in(options.items);
  if (options.items.empty() || options.items.size() > 6 || std::stoi(options.items) == 0)
    user_error("--items: expected a number from 1 to 999999, or a file");
  return spread_hours(std::stoi(options.items), options.hours, options.spread, seed);
}

struct MeanOfSeeds {
  double makespan = 0, bound = 0, ratio = 0, worst = 0, idle = 0, lost = 0, aside = 0, claims = 0,
         operations = 0, worst_minute = 0;
};

MeanOfSeeds of_many_seeds(const Options& options, int workers) {
  MeanOfSeeds mean;
  for (int seed = 0; seed < options.seeds; ++seed) {
    SimulationSettings settings = options.settings;
    settings.workers = workers;
    settings.seed = static_cast<uint64_t>(seed);
    settings.failures_per_hour = options.failures_percent / 100;
    settings.item_hours = hours_of(options, settings.seed);
    const SimulationResult r = simulate(settings);
    const double share = 1.0 / options.seeds;
    mean.makespan += share * r.makespan_h;
    mean.bound += share * r.bound_h;
    mean.ratio += share * r.makespan_h / r.bound_h;
    mean.worst = std::max(mean.worst, r.makespan_h / r.bound_h);
    mean.idle += share * r.idle_share;
    mean.lost += share * r.lost_h;
    mean.aside += share * r.aside;
    mean.claims += share * static_cast<double>(r.claims);
    mean.operations += share * (r.lists + r.reads + r.writes) / (3600 * r.makespan_h);
    mean.worst_minute = std::max(mean.worst_minute, r.worst_minute_per_s);
  }
  return mean;
}

Options parse(int argc, char** argv) {
  Options options;
  SimulationSettings& set = options.settings;
  CLI::App app{"How long workers that share items by lease take, by gaggle's own plan", "simulate"};
  app.add_option("--items", options.items,
                 "Number of items, or a file with a line HOURS or NAME HOURS for each")
      ->capture_default_str();
  app.add_option("--hours", options.hours, "Mean hours of an item, for one worker")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--spread", options.spread, "Sigma of the hours' logarithm (log-normal; 0: all alike)")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--estimate-spread", set.estimate_spread, "Sigma of what the plan believes of an item's hours")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--workers", options.workers, "Numbers of workers, e.g. 8,16,32")
      ->delimiter(',')
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--ranks-per-expert", set.ranks_per_item, "Workers that work on one item together")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--jobs", set.jobs, "Jobs that the workers belong to, each preempted on its own")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--failures-per-hour", options.failures_percent, "Workers killed per hour, in percent")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--restart-minutes", set.restart_minutes, "Until a killed or preempted worker is back")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--preempt-every", set.preempt_every_hours, "Hours between preemptions of a job (0: none)")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--stragglers", set.straggler_share, "Share of slow workers, 0 to 1")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  app.add_option("--straggler-factor", set.straggler_factor, "How many times slower they are")
      ->check(CLI::Range(1.0, 1000.0))
      ->capture_default_str();
  app.add_option("--lease", set.lease_s, "cluster.lease_s, seconds")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--checkpoint-minutes", set.checkpoint_minutes, "Between two checkpoints of an item")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  bool leave = false;
  app.add_flag("--no-wait", leave, "Workers that find no item leave (cluster.wait = false)");
  app.add_option("--efficiency", set.efficiency, "Share of its speed that each further rank adds to an item")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  app.add_option("--lanes", set.lanes, "Lanes of an item, the most ranks that share it")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--seeds", options.seeds, "Runs with other random numbers")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& asked) {
    std::exit(app.exit(asked));
  } catch (const CLI::ParseError& error) {
    user_error("{} (simulate --help says more)", error.what());
  }
  set.wait = !leave;
  if (set.ranks_per_item > set.lanes)
    user_error("--ranks-per-expert {}: an item has {} lanes (--lanes)", set.ranks_per_item, set.lanes);
  for (const int workers : options.workers)
    if (workers % set.ranks_per_item != 0)
      user_error("--ranks-per-expert {} does not divide {} workers", set.ranks_per_item, workers);
  return options;
}

// What the last row, of the most workers, means for who plans a run.
std::string meaning(const Options& options, const std::vector<MeanOfSeeds>& means) {
  size_t last = 0;
  for (size_t i = 1; i < means.size(); ++i)
    if (means[i].makespan < 0.95 * means[last].makespan) last = i;
  return fmt::format(
      "{} workers take {:.1f} h, {:.0f}% of the time without an item and {:.1f} h of work done twice; {}\n",
      options.workers[last], means[last].makespan, 100 * means[last].idle, means[last].lost,
      last + 1 < means.size() ? "more workers than that bring less than 5%: the longest items are the bound"
                              : "more workers may still bring something");
}

int run(const Options& options) {
  Table table({"workers", "makespan h", "bound h", "ratio", "worst", "idle %", "lost h", "aside", "claims",
               "folder ops/s", "worst minute"});
  std::vector<MeanOfSeeds> means;
  for (const int workers : options.workers) {
    const MeanOfSeeds r = means.emplace_back(of_many_seeds(options, workers));
    table.add({std::to_string(workers), fmt::format("{:.2f}", r.makespan), fmt::format("{:.2f}", r.bound),
               fmt::format("{:.3f}", r.ratio), fmt::format("{:.3f}", r.worst),
               fmt::format("{:.1f}", 100 * r.idle), fmt::format("{:.2f}", r.lost),
               fmt::format("{:.2f}", r.aside), fmt::format("{:.0f}", r.claims),
               fmt::format("{:.1f}", r.operations), fmt::format("{:.1f}", r.worst_minute)});
  }
  std::fputs(table.text().c_str(), stdout);
  fmt::print(
      "mean of {} seeds; ratio: makespan / bound, worst: of one seed; "
      "lost: worker hours since a checkpoint; folder ops: lists, reads and writes of leases\n{}",
      options.seeds, meaning(options, means));
  return 0;
}

}  // namespace
}  // namespace gaggle

int main(int argc, char** argv) {
  try {
    return gaggle::run(gaggle::parse(argc, argv));
  } catch (const gaggle::UserError& error) {
    gaggle::log::error("{}", error.what());
    return static_cast<int>(gaggle::Exit::bad_input);
  } catch (const std::exception& error) {
    gaggle::log::error("{}", error.what());
    return static_cast<int>(gaggle::Exit::failed);
  }
}
