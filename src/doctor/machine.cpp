// Machines, threads and versions: what the hosts have, and which one is odd.
#include <algorithm>
#include <functional>
#include <set>

#include "base/error.h"
#include "base/table.h"
#include "cluster/cores.h"
#include "doctor/checks.h"
#include "doctor/odd_one.h"

namespace gaggle {
namespace {

// `of`: a member of RankFacts, or a function of one.
template <class Of>
std::string disagreement_over(const std::vector<RankFacts>& ranks, const Of& of) {
  std::vector<std::string> values;
  for (const RankFacts& rank : ranks) values.push_back(std::invoke(of, rank));
  return disagreement(hosts_of(ranks), values);
}

// The value that all have, or who has another one.
template <class Of>
void add_alike(ReportBlock& block, const std::vector<RankFacts>& ranks, const std::string& topic, Severity if_not,
               const Of& of, const std::string& consequence = "") {
  const std::string odd = disagreement_over(ranks, of);
  if (odd.empty())
    block.add(Severity::ok, topic, std::invoke(of, ranks[0]));
  else
    block.add(if_not, topic, odd + consequence);
}

// What every rank should have enough of.
struct Supply {
  const char* topic;
  uint64_t RankFacts::*amount;
  double enough;
  const char* words;   // {} is the amount
  const char* advice;  // where there is less
};

std::string supply_text(const RankFacts& rank, const Supply& supply) {
  const uint64_t amount = rank.*supply.amount;
  if (amount == no_limit) return "no limit";
  const bool counts = supply.amount == &RankFacts::open_files;
  return fmt::format(fmt::runtime(supply.words),
                     counts ? with_commas(static_cast<int64_t>(amount)) : bytes_text(amount),
                     fmt::arg("memory", bytes_text(rank.memory_bytes)), fmt::arg("folder", rank.temporary));
}

// The least of all, on the host that has it; too little is something to look at.
void add_supplies(ReportBlock& block, const std::vector<RankFacts>& ranks) {
  const bool pinned = std::ranges::any_of(ranks, &RankFacts::infiniband);
  const Supply supplies[] = {
      {"memory", &RankFacts::available_bytes, 2e9, "{} free of {memory}", "little for a model and its ranks"},
      {"open files", &RankFacts::open_files, 1024, "at most {}", "raise it with ulimit -n 4096"},
      {"locked memory", &RankFacts::locked_bytes, pinned ? 64e6 : 0, "at most {}",
       "InfiniBand wants ulimit -l unlimited"},
      {"temporary", &RankFacts::temporary_free_bytes, 1e8, "{} free in {folder}", "MPI keeps its session there"},
      {"/dev/shm", &RankFacts::shared_memory_free_bytes, 5e8, "{} free",
       "ranks of a host talk through it (in a container: --shm-size)"}};
  for (const Supply& supply : supplies) {
    const auto [least, most] = std::ranges::minmax_element(ranks, {}, supply.amount);
    const bool low = static_cast<double>((*least).*supply.amount) < supply.enough;
    std::string words = supply_text(*least, supply);
    if (words != supply_text(*most, supply)) words += fmt::format(" (the least, on {})", least->host);
    if (low) words += fmt::format(": {}", supply.advice);
    block.add(warning_if(low), supply.topic, words);
  }
}

void add_hosts(ReportBlock& block, const std::vector<RankFacts>& ranks) {
  const auto hosts = hosts_of(ranks);
  const std::set<std::string> different(hosts.begin(), hosts.end());
  const auto count = [&](const RankFacts& rank) { return plural(std::ranges::count(hosts, rank.host), "rank"); };
  if (different.size() == 1) return block.add(Severity::ok, "host", fmt::format("{}, {}", hosts[0], count(ranks[0])));
  const std::string uneven = disagreement_over(ranks, count);
  block.add(warning_if(!uneven.empty()), "hosts",
            uneven.empty() ? fmt::format("{} with {} each", different.size(), count(ranks[0])) : uneven);
}

// "": the quota of the rank's control group pays for the threads of all ranks in it.
std::string unpaid_threads(const std::vector<RankFacts>& ranks, const RankFacts& rank) {
  int threads = 0;
  for (const RankFacts& other : ranks)
    if (other.host == rank.host && other.quota_group == rank.quota_group) threads += other.threads;
  if (rank.quota_cores == 0 || threads <= std::max(1.0, rank.quota_cores)) return "";
  return fmt::format("{} on {} share processor time for {:g} (quota of {}): they will wait for it",
                     plural(threads, "thread"), rank.host, rank.quota_cores, rank.quota_group);
}

// Ranks of a host with one mask share its cores.
void add_cores(ReportBlock& block, const std::vector<RankFacts>& ranks) {
  std::string crowded;
  bool bound = true;
  for (const RankFacts& rank : ranks) {
    const auto sharers = std::ranges::count_if(
        ranks, [&](const RankFacts& other) { return other.host == rank.host && other.mask == rank.mask; });
    bound = bound && sharers == 1;
    if (sharers * rank.threads > rank.allowed_cores && crowded.empty())
      crowded =
          fmt::format("{} of {} share {} (mask {}) on {}: give each rank cores of its own", plural(sharers, "rank"),
                      plural(rank.threads, "thread"), plural(rank.allowed_cores, "core"), rank.mask, rank.host);
    if (crowded.empty()) crowded = unpaid_threads(ranks, rank);
  }
  add_alike(block, ranks, "cores", Severity::warning, [](const RankFacts& rank) {
    const std::string quota = rank.quota_cores > 0 ? fmt::format(", a quota of {:g}", rank.quota_cores) : "";
    return fmt::format("{} on the host, {} for each rank{}", rank.cores, rank.allowed_cores, quota);
  });
  const std::string mask = "mask " + ranks[0].mask;
  const std::string binding = ranks.size() == 1 ? mask
                              : bound           ? "every rank has cores of its own"
                                                : "the ranks of a host share its cores, " + mask;
  block.add(warning_if(!crowded.empty()), "threads",
            crowded.empty() ? fmt::format("{} a rank; {}", ranks[0].threads, binding) : crowded);
}

// The busiest host. Of what it is busy with nothing is known but that it takes time from this run.
void add_load(ReportBlock& block, const std::vector<RankFacts>& ranks) {
  const auto of = [](const RankFacts& rank) { return HostLoad{rank.load, rank.cores}; };
  const auto busiest =
      std::ranges::max_element(ranks, {}, [&](const RankFacts& rank) { return rank.load / rank.cores; });
  const HostLoad load = of(*busiest);
  const std::string where = hosts_of(ranks) == std::vector(ranks.size(), ranks[0].host) ? "" : " of " + busiest->host;
  block.add(
      warning_if(load.busy()), "load",
      fmt::format("{:.1f} on {}{}{}", load.threads, plural(load.cores, "core"), where,
                  load.busy()
                      ? ": other work takes their time; rates below, and a run's times, are those of a busy machine"
                      : ""));
}

void add_rate(ReportBlock& block, const std::vector<RankFacts>& ranks, const std::string& topic,
              ComputeRate RankFacts::*of) {
  std::vector<double> rates;
  double sum = 0;
  for (const RankFacts& rank : ranks) {
    rates.push_back((rank.*of).flops_per_s);
    sum += rates.back();
  }
  std::string words = fmt::format("{} a rank, {}", flops_text(median(rates)), (ranks[0].*of).hardware);
  if (ranks.size() > 1) words += fmt::format("; {} in all, measured at once", flops_text(sum));
  const auto slow = far_below(rates, 0.7);
  for (size_t i = 0; i < std::min<size_t>(3, slow.size()); ++i)
    words += fmt::format("; rank {} on {} has {} only", slow[i], ranks[slow[i]].host, flops_text(rates[slow[i]]));
  block.add(warning_if(!slow.empty()), topic, words);
}

void add_config(ReportBlock& block, const std::vector<RankFacts>& ranks) {
  std::set<std::string> keys;
  for (const RankFacts& rank : ranks)
    for (const auto& [key, value] : rank.config) keys.insert(key);
  if (keys.empty()) return;
  size_t different = 0;
  for (const std::string& key : keys) {
    const std::string odd = disagreement_over(ranks, [&](const RankFacts& rank) {
      const auto found = rank.config.find(key);
      return rank.config.empty()          ? std::string("no config")
             : found == rank.config.end() ? "no such key"
                                          : key + " = " + found->second;
    });
    // The first few say enough.
    if (!odd.empty() && ++different <= 3) block.add(Severity::error, "config", odd);
  }
  if (different == 0) block.add(Severity::ok, "config", fmt::format("{} keys, equal values", keys.size()));
  if (different > 3) block.add(Severity::error, "config", fmt::format("{} more keys differ", different - 3));
}

}  // namespace

ReportBlock machine_block(const std::vector<RankFacts>& ranks) {
  ReportBlock block{"machine"};
  add_hosts(block, ranks);
  add_alike(block, ranks, "system", Severity::warning, &RankFacts::kernel);
  add_alike(block, ranks, "processor", Severity::warning, &RankFacts::processor,
            ": an expert's bits depend on who trains it (run.strict refuses that)");
  add_cores(block, ranks);
  add_load(block, ranks);
  add_rate(block, ranks, "fp32", &RankFacts::fp32);
  add_rate(block, ranks, "bf16", &RankFacts::bf16);
  add_supplies(block, ranks);
  return block;
}

ReportBlock versions_block(const std::vector<RankFacts>& ranks) {
  ReportBlock block{"alike on all ranks"};
  add_alike(block, ranks, "gaggle", Severity::error, &RankFacts::gaggle);
  add_alike(block, ranks, "LibTorch", Severity::error, &RankFacts::libtorch);
  add_alike(block, ranks, "MPI", Severity::error, &RankFacts::mpi);
  add_config(block, ranks);
  return block;
}

}  // namespace gaggle
