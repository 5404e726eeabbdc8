#include "comm/link_speed.h"

#include <algorithm>
#include <chrono>

#include "base/clock.h"
#include "cluster/odd_one.h"

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

std::vector<LinkSpeed> measure_pairs(Communicator& comm, double seconds) {
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
  // Both ends have measured: the slower word counts.
  for (size_t a = 0; a < n; ++a)
    for (size_t b = a + 1; b < n; ++b) {
      LinkSpeed &one = all[a * n + b], &other = all[b * n + a];
      one = other = {std::max(one.latency_s, other.latency_s), std::min(one.bytes_per_s, other.bytes_per_s)};
    }
  return all;
}

LinkSpeed measure_all_to_all(Communicator& comm) {
  std::vector<int> others;
  for (int rank = 0; rank < comm.size(); ++rank)
    if (rank != comm.rank()) others.push_back(rank);
  comm.barrier();
  const LinkSpeed mine =
      measure(comm, others, std::max<size_t>(1 << 16, 4 * large / static_cast<size_t>(comm.size())));
  std::vector<LinkSpeed> all(static_cast<size_t>(comm.size()));
  comm.all_gather(std::as_bytes(std::span(&mine, 1)), std::as_writable_bytes(std::span(all)));
  LinkSpeed slowest = mine;
  for (const LinkSpeed& speed : all)
    slowest = {std::max(slowest.latency_s, speed.latency_s), std::min(slowest.bytes_per_s, speed.bytes_per_s)};
  return slowest;
}

std::vector<double> measure_clocks(Communicator& comm) {
  const auto n = static_cast<size_t>(comm.size());
  std::vector<std::vector<double>> ahead(n);
  for (int round = 0; round < 9; ++round) {
    comm.barrier();
    const double now =
        std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
    std::vector<double> all(n);
    comm.all_gather(std::as_bytes(std::span(&now, 1)), std::as_writable_bytes(std::span(all)));
    for (size_t rank = 0; rank < n; ++rank) ahead[rank].push_back(all[rank] - all[0]);
  }
  std::vector<double> result;
  for (const auto& rounds : ahead) result.push_back(median(rounds));
  return result;
}

}  // namespace gaggle
