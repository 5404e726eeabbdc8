// How the ranks talk: MPI, messages, clocks.
#include <algorithm>

#include "app/doctor_checks.h"
#include "base/table.h"
#include "cluster/odd_one.h"

namespace gaggle {
namespace {

constexpr double pair_seconds = 1.5;
constexpr double clock_tolerance_s = 1;

// Index of each host's first rank.
std::vector<size_t> first_ranks(const std::vector<std::string>& hosts) {
  std::vector<size_t> firsts;
  for (size_t rank = 0; rank < hosts.size(); ++rank)
    if (std::find(hosts.begin(), hosts.begin() + static_cast<std::ptrdiff_t>(rank), hosts[rank]) ==
        hosts.begin() + static_cast<std::ptrdiff_t>(rank))
      firsts.push_back(rank);
  return firsts;
}

std::string link_text(double latency_s, double bytes_per_s) {
  return fmt::format("{:.1f} µs, {:.2f} GB/s", latency_s * 1e6, bytes_per_s / 1e9);
}

}  // namespace

NetworkFacts measure_network(const Session& session, const std::vector<std::string>& hosts) {
  NetworkFacts facts{session.identity.launcher, mpi_library_version(), {}, {}, {}, {}};
  Communicator& world = *session.world;
  if (world.size() == 1) return facts;
  facts.all_to_all = measure_all_to_all(world);
  facts.clocks = measure_clocks(world);
  const auto firsts = first_ranks(hosts);
  const bool one_host = firsts.size() == 1;
  const bool paired =
      one_host || std::find(firsts.begin(), firsts.end(), static_cast<size_t>(world.rank())) != firsts.end();
  const auto group = world.split(paired ? 0 : 1);
  if (paired) facts.pairs = measure_pairs(*group, pair_seconds);
  for (size_t rank = 0; one_host && rank < hosts.size(); ++rank)
    facts.ends.push_back(fmt::format("rank {}", rank));
  for (size_t i = 0; !one_host && i < firsts.size(); ++i) facts.ends.push_back(hosts[firsts[i]]);
  world.barrier();
  return facts;
}

ReportBlock network_block(const NetworkFacts& facts, const std::vector<std::string>& hosts) {
  ReportBlock block{"MPI", {}};
  block.add(Mark::ok, "library", facts.library);
  if (facts.launcher == "none") {
    block.add(Mark::none, "ranks",
              "one process without a launcher; mpirun -np N gaggle doctor … checks ranks and hosts");
    return block;
  }
  const bool survives = facts.library.ends_with("(ULFM)");
  block.add(Mark::ok, "threads", "any thread may call it (MPI_THREAD_MULTIPLE), as gaggle needs");
  block.add(Mark::none, "faults",
            survives ? "a killed rank costs its item, not the job (ULFM)"
                     : "a killed rank ends the job, which resumes at the next start; Open MPI 5 can do better: "
                       "mpirun --with-ft ulfm");
  if (facts.ends.empty()) return block;
  std::vector<double> latency, bytes;
  size_t a = 0;
  for (const LinkSpeed& link : facts.pairs) {
    const size_t i = a / facts.ends.size(), j = a++ % facts.ends.size();
    if (i >= j || link.bytes_per_s <= 0) continue;
    latency.push_back(link.latency_s);
    bytes.push_back(link.bytes_per_s);
  }
  const bool one_host = facts.ends[0].starts_with("rank ");
  const size_t possible = facts.ends.size() * (facts.ends.size() - 1) / 2;
  block.add(Mark::ok, one_host ? "rank pairs" : "host pairs",
            fmt::format("{} each way, the middle of {}{}", link_text(median(latency), median(bytes)),
                        plural(bytes.size(), "pair"),
                        bytes.size() < possible ? fmt::format(" (of {})", possible) : ""));
  const auto slow = slow_links(facts.pairs, facts.ends);
  for (size_t i = 0; i < std::min<size_t>(4, slow.size()); ++i) block.add(Mark::look, "slow", slow[i]);
  if (slow.size() > 4) block.add(Mark::look, "slow", fmt::format("{} more", slow.size() - 4));
  block.add(Mark::ok, "all to all",
            fmt::format("{} sent by each of {} at once",
                        link_text(facts.all_to_all.latency_s, facts.all_to_all.bytes_per_s),
                        plural(hosts.size(), "rank")));
  size_t worst = 0;
  for (size_t rank = 0; rank < facts.clocks.size(); ++rank)
    if (std::abs(facts.clocks[rank]) > std::abs(facts.clocks[worst])) worst = rank;
  const double off = std::abs(facts.clocks[worst]);
  block.add(
      off > clock_tolerance_s ? Mark::look : Mark::ok, "clocks",
      off > clock_tolerance_s
          ? fmt::format(
                "{} is {:.1f} s {} {}: times in journals will not fit together (no decision depends on them)",
                hosts[worst], off, facts.clocks[worst] > 0 ? "ahead of" : "behind", hosts[0])
          : fmt::format("within {} of each other", duration_text(std::max(off, 1e-3))));
  return block;
}

}  // namespace gaggle
