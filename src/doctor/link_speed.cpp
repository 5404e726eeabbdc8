#include "doctor/link_speed.h"

#include <algorithm>

#include "base/clock.h"
#include "doctor/odd_one.h"

namespace gaggle {
namespace {

constexpr size_t small = 8, large = size_t{4} << 20;

// Buffers for an exchange with some ranks; empty spans for the others.
struct Exchange {
  std::vector<std::byte> out, in;
  std::vector<std::span<const std::byte>> send;
  std::vector<std::span<std::byte>> receive;

  Exchange(const Communicator& comm, const std::vector<int>& peers, size_t bytes)
      : out(bytes * peers.size()),
        in(bytes * peers.size()),
        send(static_cast<size_t>(comm.size())),
        receive(static_cast<size_t>(comm.size())) {
    for (size_t i = 0; i < peers.size(); ++i) {
      send[static_cast<size_t>(peers[i])] = std::span(out).subspan(i * bytes, bytes);
      receive[static_cast<size_t>(peers[i])] = std::span(in).subspan(i * bytes, bytes);
    }
  }
  double seconds(Communicator& comm) {
    const double begin = monotonic_seconds();
    comm.all_to_all(send, receive);
    return monotonic_seconds() - begin;
  }
};

// The median of small exchanges, the best of large ones. The first of each only brings the ranks together.
LinkSpeed measure(Communicator& comm, const std::vector<int>& peers, size_t bytes) {
  std::vector<double> times;
  Exchange token(comm, peers, small);
  for (int i = 0; i < 21; ++i) times.push_back(token.seconds(comm));
  LinkSpeed speed;
  speed.latency_s = median({times.begin() + 1, times.end()});
  Exchange block(comm, peers, bytes);
  block.seconds(comm);
  double best = block.seconds(comm);
  for (int i = 0; i < 2; ++i) best = std::min(best, block.seconds(comm));
  speed.bytes_per_s = static_cast<double>(block.out.size()) / std::max(1e-9, best);
  return speed;
}

// Both ends of a link have measured: the slower measurement counts.
LinkSpeed slower(const LinkSpeed& a, const LinkSpeed& b) {
  return {std::max(a.latency_s, b.latency_s), std::min(a.bytes_per_s, b.bytes_per_s)};
}

bool rank_0_goes_on(Communicator& comm, double until) {
  std::byte go{static_cast<unsigned char>(monotonic_seconds() < until)};
  comm.broadcast(std::span(&go, 1), 0);
  return go != std::byte{0};
}

// Round r of a tournament of n players (n even): everybody meets everybody once in n - 1 rounds.
int partner_of(int player, int round, int n) {
  const int others = n - 1;
  if (player == others) return round;
  if (player == round) return others;
  return ((2 * round - player) % others + others) % others;
}

}  // namespace

std::vector<RankLink> measure_pairs(Communicator& comm, double seconds) {
  const int ranks = comm.size(), me = comm.rank(), players = ranks + ranks % 2;
  const auto n = static_cast<size_t>(ranks);
  std::vector<LinkSpeed> mine(n), all(n * n);
  const double until = monotonic_seconds() + seconds;
  for (int round = 0; round < players - 1 && rank_0_goes_on(comm, until); ++round) {
    const int met = partner_of(me, round, players);
    const std::vector<int> peers = met < ranks ? std::vector<int>{met} : std::vector<int>{};
    const LinkSpeed speed = measure(comm, peers, large);
    if (met < ranks) mine[static_cast<size_t>(met)] = speed;
  }
  comm.all_gather(std::as_bytes(std::span(mine)), std::as_writable_bytes(std::span(all)));
  std::vector<RankLink> links;
  for (int a = 0; a < ranks; ++a)
    for (int b = a + 1; b < ranks; ++b) {
      const auto end = static_cast<size_t>(a), other_end = static_cast<size_t>(b);
      const LinkSpeed speed = slower(all[end * n + other_end], all[other_end * n + end]);
      if (speed.bytes_per_s > 0) links.push_back({a, b, speed});
    }
  return links;
}

LinkSpeed measure_all_to_all(Communicator& comm) {
  std::vector<int> others;
  for (int rank = 0; rank < comm.size(); ++rank)
    if (rank != comm.rank()) others.push_back(rank);
  comm.barrier();
  LinkSpeed slowest = measure(comm, others, std::max<size_t>(1 << 16, 4 * large / static_cast<size_t>(comm.size())));
  for (const LinkSpeed& speed : gather_values(comm, slowest)) slowest = slower(slowest, speed);
  return slowest;
}

std::vector<double> measure_clocks(Communicator& comm) {
  std::vector<std::vector<double>> ahead(static_cast<size_t>(comm.size()));
  for (int round = 0; round < 9; ++round) {
    comm.barrier();
    const auto all = gather_values(comm, wall_seconds());
    for (size_t rank = 0; rank < all.size(); ++rank) ahead[rank].push_back(all[rank] - all[0]);
  }
  std::vector<double> result;
  for (const auto& rounds : ahead) result.push_back(median(rounds));
  return result;
}

}  // namespace gaggle
