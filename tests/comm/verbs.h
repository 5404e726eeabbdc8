// Every verb against a plain loop on data that every rank can make for every other.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
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

// Where a communicator's spans lie: in the host's memory, or in a GPU's (tests/gpu).
struct Memory {
  std::function<std::shared_ptr<std::byte>(size_t bytes)> make = [](size_t bytes) {
    return std::shared_ptr<std::byte>(new std::byte[bytes], std::default_delete<std::byte[]>());
  };
  std::function<void(std::span<std::byte> here, std::span<const std::byte> content)> write =
      [](auto here, auto content) { std::ranges::copy(content, here.begin()); };
  std::function<void(std::span<const std::byte> here, std::span<std::byte> content)> read =
      [](auto here, auto content) { std::ranges::copy(here, content.begin()); };
};

class Held {
 public:
  Held(const Memory& memory, const std::vector<std::byte>& content)
      : memory_(&memory), data_(memory.make(content.size())), bytes_(content.size()) {
    memory.write(span(), content);
  }
  Held(const Memory& memory, size_t bytes) : Held(memory, std::vector(bytes, std::byte{0xab})) {}
  std::span<std::byte> span() const { return {data_.get(), bytes_}; }
  std::vector<std::byte> read() const {
    std::vector<std::byte> content(bytes_);
    memory_->read(span(), content);
    return content;
  }

 private:
  const Memory* memory_;
  std::shared_ptr<std::byte> data_;
  size_t bytes_;
};

inline void expect_broadcasts(Communicator& comm, const Memory& memory, size_t bytes, uint64_t round) {
  for (int root = 0; root < comm.size(); ++root) {
    const Held data = comm.rank() == root ? Held(memory, said(root, 0, bytes, round)) : Held(memory, bytes);
    comm.broadcast(data.span(), root);
    EXPECT_EQ(data.read(), said(root, 0, bytes, round));
  }
}

inline void expect_all_gather(Communicator& comm, const Memory& memory, size_t bytes, uint64_t round) {
  const Held mine(memory, said(comm.rank(), 0, bytes, round));
  const Held all(memory, bytes * static_cast<size_t>(comm.size()));
  comm.all_gather(mine.span(), all.span());
  std::vector<std::byte> expected;
  for (int r = 0; r < comm.size(); ++r) {
    const auto one = said(r, 0, bytes, round);
    expected.insert(expected.end(), one.begin(), one.end());
  }
  EXPECT_EQ(all.read(), expected);
}

// Sizes differ by pair, some are 0.
inline void expect_all_to_all(Communicator& comm, const Memory& memory, size_t bytes, uint64_t round) {
  const auto size_of = [&](int from, int to) {
    return (from + 2 * to) % 3 == 0 ? 0 : bytes + static_cast<size_t>(from * 3 + to);
  };
  std::vector<Held> out, in;
  std::vector<std::span<const std::byte>> send;
  std::vector<std::span<std::byte>> receive;
  for (int r = 0; r < comm.size(); ++r) {
    out.emplace_back(memory, said(comm.rank(), r, size_of(comm.rank(), r), round));
    in.emplace_back(memory, size_of(r, comm.rank()));
    send.emplace_back(out.back().span());
    receive.push_back(in.back().span());
  }
  comm.all_to_all(send, receive);
  for (int r = 0; r < comm.size(); ++r)
    EXPECT_EQ(in[static_cast<size_t>(r)].read(), said(r, comm.rank(), size_of(r, comm.rank()), round));
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
inline void expect_split(Communicator& comm, const Memory& memory) {
  const auto part = comm.split(comm.rank() % 2);
  EXPECT_EQ(part->size(), (comm.size() + 1 - comm.rank() % 2) / 2);
  EXPECT_EQ(part->rank(), comm.rank() / 2);
  for (int i = 0; i < 1 + comm.rank() % 2; ++i) part->barrier();
  const auto texts = part->all_gather_text(std::to_string(comm.rank()));
  for (int r = 0; r < part->size(); ++r)
    EXPECT_EQ(texts[static_cast<size_t>(r)], std::to_string(2 * r + comm.rank() % 2));
  for (int round = 0; round < 2 + comm.rank() % 2; ++round)
    expect_all_to_all(*part, memory, 1001, static_cast<uint64_t>(round));
  comm.barrier();
}

inline void expect_all_verbs(Communicator& comm, const Memory& memory = {}) {
  uint64_t round = 0;
  for (const size_t bytes : {0, 1, 7, 1000, 100'003}) {
    comm.barrier();
    expect_broadcasts(comm, memory, bytes, ++round);
    expect_all_gather(comm, memory, bytes, ++round);
    expect_all_to_all(comm, memory, bytes, ++round);
    expect_texts(comm, bytes);
  }
  expect_split(comm, memory);
}

}  // namespace gaggle::test
