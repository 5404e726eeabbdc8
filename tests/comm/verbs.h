// Every verb against a plain loop on data that every rank can make for every other.
#pragma once

#include <gtest/gtest.h>

#include <numeric>

#include "base/philox.h"
#include "comm/communicator.h"

namespace gaggle::test {

// What rank `from` says to rank `to` in round `round`: the same bytes on whichever rank they are made.
inline std::vector<std::byte> said(int from, int to, size_t bytes, uint64_t round) {
  const uint64_t key = random_key("said", {static_cast<uint64_t>(from), static_cast<uint64_t>(to), round});
  std::vector<std::byte> data(bytes);
  for (size_t i = 0; i < bytes; ++i) data[i] = static_cast<std::byte>(random_bits(key, i / 8) >> (8 * (i % 8)));
  return data;
}

inline void expect_broadcasts(Communicator& comm, size_t bytes, uint64_t round) {
  for (int root = 0; root < comm.size(); ++root) {
    std::vector<std::byte> data(bytes);
    if (comm.rank() == root) data = said(root, 0, bytes, round);
    comm.broadcast(data, root);
    EXPECT_EQ(data, said(root, 0, bytes, round));
  }
}

inline void expect_all_gather(Communicator& comm, size_t bytes, uint64_t round) {
  const auto n = static_cast<size_t>(comm.size());
  std::vector<std::byte> all(bytes * n), expected;
  comm.all_gather(said(comm.rank(), 0, bytes, round), all);
  for (int r = 0; r < comm.size(); ++r) {
    const auto one = said(r, 0, bytes, round);
    expected.insert(expected.end(), one.begin(), one.end());
  }
  EXPECT_EQ(all, expected);
}

// Sizes differ by pair, some are 0.
inline void expect_all_to_all(Communicator& comm, size_t bytes, uint64_t round) {
  const auto size_of = [&](int from, int to) {
    return (from + 2 * to) % 3 == 0 ? 0 : bytes + static_cast<size_t>(from * 3 + to);
  };
  const auto n = static_cast<size_t>(comm.size());
  std::vector<std::vector<std::byte>> out(n), in(n);
  std::vector<std::span<const std::byte>> send(n);
  std::vector<std::span<std::byte>> receive(n);
  for (int r = 0; r < comm.size(); ++r) {
    const auto i = static_cast<size_t>(r);
    out[i] = said(comm.rank(), r, size_of(comm.rank(), r), round);
    in[i].resize(size_of(r, comm.rank()));
    send[i] = out[i];
    receive[i] = in[i];
  }
  comm.all_to_all(send, receive);
  for (int r = 0; r < comm.size(); ++r)
    EXPECT_EQ(in[static_cast<size_t>(r)], said(r, comm.rank(), size_of(r, comm.rank()), round));
}

inline void expect_texts(Communicator& comm, size_t bytes) {
  const auto text_of = [&](int rank) {
    return std::string(bytes * static_cast<size_t>(rank), static_cast<char>('a' + rank));
  };
  const auto all = comm.all_gather_text(text_of(comm.rank()));
  ASSERT_EQ(all.size(), static_cast<size_t>(comm.size()));
  for (int r = 0; r < comm.size(); ++r) EXPECT_EQ(all[static_cast<size_t>(r)], text_of(r));
}

// Even and odd ranks apart: order kept, verbs inside one part do not touch the other.
inline void expect_split(Communicator& comm) {
  const auto part = comm.split(comm.rank() % 2);
  EXPECT_EQ(part->size(), (comm.size() + 1 - comm.rank() % 2) / 2);
  EXPECT_EQ(part->rank(), comm.rank() / 2);
  for (int i = 0; i < 1 + comm.rank() % 2; ++i) part->barrier();
  const auto texts = part->all_gather_text(std::to_string(comm.rank()));
  for (int r = 0; r < part->size(); ++r)
    EXPECT_EQ(texts[static_cast<size_t>(r)], std::to_string(2 * r + comm.rank() % 2));
  comm.barrier();
}

inline void expect_all_verbs(Communicator& comm) {
  uint64_t round = 0;
  for (const size_t bytes : {0, 1, 7, 1000, 100'003}) {
    comm.barrier();
    expect_broadcasts(comm, bytes, ++round);
    expect_all_gather(comm, bytes, ++round);
    expect_all_to_all(comm, bytes, ++round);
    expect_texts(comm, bytes);
  }
  expect_split(comm);
}

}  // namespace gaggle::test
