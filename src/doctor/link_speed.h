// How fast the ranks of a communicator talk, measured by the verbs that a run uses, and which links are slow.
#pragma once

#include <string>
#include <vector>

#include "comm/communicator.h"

namespace gaggle {

// What a rank sees of an exchange in both directions at once; 0: not measured.
struct LinkSpeed {
  double latency_s = 0;    // of 8 bytes
  double bytes_per_s = 0;  // of 4 MiB, each way
};
std::string speed_text(const LinkSpeed& speed);  // "20.0 µs, 1.00 GB/s"

struct RankLink {
  int a = 0, b = 0;  // ranks, a < b
  LinkSpeed speed;
};

// Every pair of ranks while all other ranks are busy in pairs too; for at most `seconds`, so that of many ranks
// only some pairs are measured. In the order of (a, b). Collective, equal on every rank.
std::vector<RankLink> measure_pairs(Communicator& comm, double seconds);

// All ranks to all at once, as an optimiser step does it. bytes_per_s: what a rank sends to others. Collective.
LinkSpeed measure_all_to_all(Communicator& comm);

// Seconds by which each rank's wall clock is ahead of rank 0's; right to a few milliseconds. Collective.
std::vector<double> measure_clocks(Communicator& comm);

// The median of each number by itself.
LinkSpeed median_speed(const std::vector<RankLink>& links);

// Links far from the median of all (a third of the bytes per second, three times the latency), as sentences; a
// rank most of whose links are slow is named instead of its links. names: of the ranks.
std::vector<std::string> slow_links(const std::vector<RankLink>& links, const std::vector<std::string>& names);

}  // namespace gaggle
