// How the ranks talk: MPI, messages, clocks.
#include <algorithm>
#include <cmath>

#include "base/table.h"
#include "comm/mpi_job.h"
#include "doctor/checks.h"

namespace gaggle {
namespace {

constexpr double pair_seconds = 1.5;
constexpr double clock_tolerance_s = 1;

void add_links(ReportBlock& block, const NetworkFacts& facts, size_t ranks) {
  const auto pairs = std::ssize(facts.links), ends = std::ssize(facts.ends), possible = ends * (ends - 1) / 2;
  block.add(Severity::ok, facts.ends[0].starts_with("rank ") ? "rank pairs" : "host pairs",
            fmt::format("{} each way, the middle of {}{}", speed_text(median_speed(facts.links)), plural(pairs, "pair"),
                        pairs < possible ? fmt::format(" (of {})", possible) : ""));
  const auto slow = slow_links(facts.links, facts.ends);
  for (size_t i = 0; i < std::min<size_t>(4, slow.size()); ++i) block.add(Severity::warning, "slow", slow[i]);
  if (slow.size() > 4) block.add(Severity::warning, "slow", fmt::format("{} more", slow.size() - 4));
  block.add(Severity::ok, "all to all",
            fmt::format("{} sent by each of {} at once", speed_text(facts.all_to_all),
                        plural(static_cast<int64_t>(ranks), "rank")));
}

void add_clocks(ReportBlock& block, const std::vector<double>& clocks, const std::vector<std::string>& hosts) {
  const auto worst = std::ranges::max_element(clocks, {}, [](double ahead) { return std::abs(ahead); });
  const double off = std::abs(*worst);
  if (off <= clock_tolerance_s)
    return block.add(Severity::ok, "clocks",
                     fmt::format("within {} of each other", duration_text(std::max(off, 1e-3))));
  block.add(Severity::warning, "clocks",
            fmt::format("{} is {:.1f} s {} {}: times in journals will not fit together (no decision depends on "
                        "them)",
                        hosts[static_cast<size_t>(worst - clocks.begin())], off, *worst > 0 ? "ahead of" : "behind",
                        hosts[0]));
}

}  // namespace

NetworkFacts measure_network(Communicator& world, const std::string& launcher, const std::vector<std::string>& hosts) {
  NetworkFacts facts{launcher, mpi_library_version(), {}, {}, {}, {}};
  if (world.size() == 1) return facts;
  facts.all_to_all = measure_all_to_all(world);
  facts.clocks = measure_clocks(world);
  const bool one_host = std::ranges::count(hosts, hosts[0]) == world.size();
  bool paired = false;
  for (int rank = 0; rank < world.size(); ++rank) {
    const auto host = hosts.begin() + rank;
    const bool first_of_host = std::find(hosts.begin(), host, *host) == host;
    if (!one_host && !first_of_host) continue;
    facts.ends.push_back(one_host ? fmt::format("rank {}", rank) : *host);
    paired = paired || rank == world.rank();
  }
  const auto group = world.split(paired ? 0 : 1);
  if (paired) facts.links = measure_pairs(*group, pair_seconds);
  world.barrier();
  return facts;
}

ReportBlock network_block(const NetworkFacts& facts, const std::vector<std::string>& hosts) {
  ReportBlock block{"MPI"};
  block.add(Severity::ok, "library", facts.library);
  if (facts.launcher == "none") {
    block.add(Severity::note, "ranks",
              "one process without a launcher; mpirun -np N gaggle doctor … checks ranks and hosts");
    return block;
  }
  block.add(Severity::ok, "threads", "any thread may call it (MPI_THREAD_MULTIPLE), as gaggle needs");
  block.add(Severity::note, "faults",
            facts.library.ends_with("(ULFM)")
                ? "a killed rank costs its item, not the job (ULFM)"
                : "a killed rank ends the job, which resumes at the next start; Open MPI 5 can do better: "
                  "mpirun --with-ft ulfm");
  if (facts.ends.empty()) return block;
  add_links(block, facts, hosts.size());
  add_clocks(block, facts.clocks, hosts);
  return block;
}

}  // namespace gaggle
