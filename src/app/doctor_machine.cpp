// Machines, threads and versions: what the hosts have, and which one is odd.
#include <algorithm>
#include <functional>
#include <set>

#include "app/doctor_checks.h"
#include "base/table.h"
#include "base/table.h"
#include "cluster/odd_one.h"
#include "model/hardware.h"

namespace gaggle {
namespace {

using TextOf = std::function<std::string(const RankFacts&)>;
using NumberOf = std::function<double(const RankFacts&)>;

std::vector<std::string> texts(const std::vector<RankFacts>& ranks, const TextOf& of) {
  std::vector<std::string> all;
  for (const RankFacts& rank : ranks) all.push_back(of(rank));
  return all;
}

std::vector<double> numbers(const std::vector<RankFacts>& ranks, const NumberOf& of) {
  std::vector<double> all;
  for (const RankFacts& rank : ranks) all.push_back(of(rank));
  return all;
}

// The value that all have, or who has another one.
void add_alike(ReportBlock& block, const std::vector<RankFacts>& ranks, const std::string& topic, Mark if_not,
               const TextOf& of, const std::string& consequence = "") {
  const std::string odd = disagreement(hosts_of(ranks), texts(ranks, of));
  if (odd.empty())
    block.add(Mark::ok, topic, of(ranks[0]));
  else
    block.add(if_not, topic, odd + consequence);
}

// The least of all, on the host that has it; too little is something to look at.
void add_least(ReportBlock& block, const std::vector<RankFacts>& ranks, const std::string& topic,
               const NumberOf& of, double enough, const TextOf& words, const std::string& advice) {
  const auto [least, most] = std::minmax_element(ranks.begin(), ranks.end(),
                                                 [&](const auto& a, const auto& b) { return of(a) < of(b); });
  const bool low = of(*least) < enough, uneven = words(*least) != words(*most);
  block.add(low ? Mark::look : Mark::ok, topic,
            words(*least) + (uneven ? fmt::format(" (the least, on {})", least->host.host) : "") +
                (low ? ": " + advice : ""));
}

std::string limit_text(uint64_t limit, const std::string& text) {
  return limit == no_limit ? "no limit" : text;
}

void add_hosts(ReportBlock& block, const std::vector<RankFacts>& ranks) {
  const auto hosts = hosts_of(ranks);
  const std::set<std::string> different(hosts.begin(), hosts.end());
  const auto count = [&](const RankFacts& rank) {
    return plural(static_cast<size_t>(std::count(hosts.begin(), hosts.end(), rank.host.host)), "rank");
  };
  const std::string uneven = disagreement(hosts, texts(ranks, count));
  if (different.size() == 1)
    return block.add(Mark::ok, "host", fmt::format("{}, {}", hosts[0], plural(ranks.size(), "rank")));
  block.add(uneven.empty() ? Mark::ok : Mark::look, "hosts",
            uneven.empty() ? fmt::format("{} with {} each", different.size(), count(ranks[0])) : uneven);
}

// Ranks of a host with one mask share its cores.
void add_cores(ReportBlock& block, const std::vector<RankFacts>& ranks) {
  std::string crowded;
  bool bound = true;
  for (const RankFacts& rank : ranks) {
    const auto sharers = std::count_if(ranks.begin(), ranks.end(), [&](const RankFacts& other) {
      return other.host.host == rank.host.host && other.host.mask == rank.host.mask;
    });
    bound = bound && sharers == 1;
    if (sharers * rank.threads > rank.host.allowed_cores && crowded.empty())
      crowded = fmt::format(
          "{} of {} share {} (mask {}) on {}: give each rank cores of its own",
          plural(static_cast<size_t>(sharers), "rank"), plural(static_cast<size_t>(rank.threads), "thread"),
          plural(static_cast<size_t>(rank.host.allowed_cores), "core"), rank.host.mask, rank.host.host);
  }
  add_alike(block, ranks, "cores", Mark::look, [](const RankFacts& rank) {
    return fmt::format("{} on the host, {} for each rank", rank.host.cores, rank.host.allowed_cores);
  });
  const std::string threads =
      fmt::format("{} a rank; {}", ranks[0].threads,
                  ranks.size() == 1 ? "mask " + ranks[0].host.mask
                  : bound           ? "every rank has cores of its own"
                                    : "the ranks of a host share its cores, mask " + ranks[0].host.mask);
  block.add(crowded.empty() ? Mark::ok : Mark::look, "threads", crowded.empty() ? threads : crowded);
}

void add_rate(ReportBlock& block, const std::vector<RankFacts>& ranks, const std::string& topic,
              at::ScalarType dtype, const NumberOf& of) {
  const auto rates = numbers(ranks, of);
  double sum = 0;
  for (const double rate : rates) sum += rate;
  const at::Device device(ranks[0].has_gpu ? at::kCUDA : at::kCPU,
                          static_cast<at::DeviceIndex>(ranks[0].has_gpu ? 0 : -1));
  std::string words = fmt::format("{} a rank, {}", flops_text(median(rates)), hardware_text(device, dtype));
  if (ranks.size() > 1) words += fmt::format("; {} in all, measured at once", flops_text(sum));
  const auto slow = far_below(rates, 0.7);
  for (size_t i = 0; i < std::min<size_t>(3, slow.size()); ++i)
    words += fmt::format("; rank {} on {} has {} only", slow[i], ranks[slow[i]].host.host,
                         flops_text(rates[slow[i]]));
  block.add(slow.empty() ? Mark::ok : Mark::look, topic, words);
}

}  // namespace

ReportBlock machine_block(const std::vector<RankFacts>& ranks) {
  ReportBlock block{"machine", {}};
  add_hosts(block, ranks);
  add_alike(block, ranks, "system", Mark::look, [](const RankFacts& rank) { return rank.host.kernel; });
  add_alike(
      block, ranks, "processor", Mark::look, [](const RankFacts& rank) { return rank.host.processor; },
      ": an expert's bits depend on who trains it (run.strict refuses that)");
  add_cores(block, ranks);
  add_rate(block, ranks, "fp32", at::kFloat, [](const RankFacts& rank) { return rank.fp32_flops; });
  add_rate(block, ranks, "bf16", at::kBFloat16, [](const RankFacts& rank) { return rank.bf16_flops; });
  add_least(
      block, ranks, "memory", [](const RankFacts& r) { return static_cast<double>(r.host.available_bytes); },
      2e9,
      [](const RankFacts& r) {
        return fmt::format("{} free of {}", bytes_text(r.host.available_bytes),
                           bytes_text(r.host.memory_bytes));
      },
      "little for a model and its ranks");
  add_least(
      block, ranks, "open files", [](const RankFacts& r) { return static_cast<double>(r.host.open_files); },
      1024,
      [](const RankFacts& r) {
        return limit_text(r.host.open_files, "at most " + with_commas(static_cast<int64_t>(r.host.open_files)));
      },
      "raise it with ulimit -n 4096");
  const bool pinned = std::any_of(ranks.begin(), ranks.end(), [](const auto& r) { return r.host.infiniband; });
  add_least(
      block, ranks, "locked memory",
      [](const RankFacts& r) { return static_cast<double>(r.host.locked_bytes); }, pinned ? 64e6 : 0,
      [](const RankFacts& r) {
        return limit_text(r.host.locked_bytes, "at most " + bytes_text(r.host.locked_bytes));
      },
      "InfiniBand wants ulimit -l unlimited");
  add_least(
      block, ranks, "temporary",
      [](const RankFacts& r) { return static_cast<double>(r.host.temporary_free_bytes); }, 1e8,
      [](const RankFacts& r) {
        return fmt::format("{} free in {}", bytes_text(r.host.temporary_free_bytes), r.host.temporary);
      },
      "MPI keeps its session there");
  add_least(
      block, ranks, "/dev/shm",
      [](const RankFacts& r) { return static_cast<double>(r.host.shared_memory_free_bytes); }, 5e8,
      [](const RankFacts& r) { return bytes_text(r.host.shared_memory_free_bytes) + " free"; },
      "ranks of a host talk through it (in a container: --shm-size)");
  return block;
}

ReportBlock versions_block(const std::vector<RankFacts>& ranks) {
  ReportBlock block{"alike on all ranks", {}};
  add_alike(block, ranks, "gaggle", Mark::wrong, [](const RankFacts& rank) { return rank.gaggle; });
  add_alike(block, ranks, "LibTorch", Mark::wrong, [](const RankFacts& rank) { return rank.libtorch; });
  add_alike(block, ranks, "MPI", Mark::wrong, [](const RankFacts& rank) { return rank.mpi; });
  std::set<std::string> keys;
  for (const RankFacts& rank : ranks)
    for (const auto& [key, value] : rank.config) keys.insert(key);
  if (keys.empty()) return block;
  size_t different = 0;
  for (const std::string& key : keys) {
    const std::string odd = disagreement(hosts_of(ranks), texts(ranks, [&](const RankFacts& rank) {
                                           const auto found = rank.config.find(key);
                                           return rank.config.empty()          ? std::string("no config")
                                                  : found == rank.config.end() ? "no such key"
                                                                               : key + " = " + found->second;
                                         }));
    // The first few say enough.
    if (!odd.empty() && ++different <= 3) block.add(Mark::wrong, "config", odd);
  }
  if (different == 0) block.add(Mark::ok, "config", fmt::format("{} keys, equal values", keys.size()));
  if (different > 3) block.add(Mark::wrong, "config", fmt::format("{} more keys differ", different - 3));
  return block;
}

}  // namespace gaggle
