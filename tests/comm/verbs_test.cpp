// Every verb of every backend of one process against a plain loop; MPI's are in mpi/, a GPU's in tests/gpu.
#include "verbs.h"

#include <sys/mman.h>

#include <map>
#include <mutex>

#include "nccl_ranks.h"

namespace gaggle {
namespace {

TEST(Verbs, Self) { test::expect_all_verbs(*make_self()); }

class VerbsOfRanks : public testing::TestWithParam<int> {
 protected:
  ~VerbsOfRanks() override { set_nccl_chunk_bytes_for_test(size_t{1} << 30); }
};

TEST_P(VerbsOfRanks, Threads) {
  run_as_threads(GetParam(), 60, [](Communicator& comm) { test::expect_all_verbs(comm); });
}

// In one piece, then in pieces; the host's verbs work beside the device's.
TEST_P(VerbsOfRanks, NcclOverTheFake) {
  for (const size_t chunk : {1 << 30, 10'007}) {
    set_nccl_chunk_bytes_for_test(chunk);
    test::FakeNccl fake({.init_polls = 3, .start_polls = 2});
    test::run_with_nccl(GetParam(), fake, test::fake_options(), [](Communicator& comm) {
      EXPECT_EQ(comm.backend(), "threads");
      EXPECT_EQ(comm.device()->backend(), "nccl");
      test::expect_all_verbs(*comm.device());
      test::expect_all_gather(comm, {}, 7, 1);
    });
    EXPECT_EQ(fake.communicators(), 0);
    EXPECT_EQ(fake.aborts(), 0);
  }
}

INSTANTIATE_TEST_SUITE_P(OneToFive, VerbsOfRanks, testing::Range(1, 6));

// Parts of a world: those of one rank have nobody to reach by NCCL.
TEST(Verbs, PartsHaveDevicesOfTheirOwn) {
  test::FakeNccl fake;
  test::run_with_nccl(5, fake, test::fake_options(), [](Communicator& comm) {
    const auto part = comm.split(comm.rank() / 2);
    ASSERT_EQ(part->device() != nullptr, part->size() > 1);
    if (part->device()) test::expect_all_verbs(*part->device());
  });
}

// Address space without memory behind it: what is in it must not be touched.
class Reserved {
 public:
  explicit Reserved(size_t bytes)
      : bytes_(bytes), data_(::mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)) {}
  ~Reserved() { ::munmap(data_, bytes_); }
  Reserved(const Reserved&) = delete;
  Reserved& operator=(const Reserved&) = delete;
  std::span<std::byte> span() const { return {static_cast<std::byte*>(data_), bytes_}; }

 private:
  size_t bytes_;
  void* data_;
};

// 2³³ + 5 bytes each way are never moved, but every one of them is counted once, in order.
TEST(Verbs, NcclCountsBeyond32Bits) {
  constexpr size_t bytes = (size_t{1} << 33) + 5;
  std::mutex mutex;
  std::map<const void*, std::vector<std::pair<size_t, size_t>>> moved;  // by receiver's start: offset, size
  std::map<std::byte*, const std::byte*> route;                         // receiver's start → sender's
  const auto note = [&](void* to, const void* from, size_t count) {
    const std::lock_guard lock(mutex);
    auto found = route.upper_bound(static_cast<std::byte*>(to));
    --found;
    const auto offset = static_cast<size_t>(static_cast<std::byte*>(to) - found->first);
    EXPECT_EQ(static_cast<const std::byte*>(from) - found->second, static_cast<ptrdiff_t>(offset));
    moved[found->first].emplace_back(offset, count);
  };
  test::FakeNccl fake({}, {}, note);
  std::vector<std::unique_ptr<Reserved>> out, in;
  for (int i = 0; i < 4; ++i) {
    out.push_back(std::make_unique<Reserved>(bytes));
    in.push_back(std::make_unique<Reserved>(bytes));
  }
  for (size_t from = 0; from < 2; ++from)
    for (size_t to = 0; to < 2; ++to) route[in[2 * to + from]->span().data()] = out[2 * from + to]->span().data();
  test::run_with_nccl(2, fake, test::fake_options(), [&](Communicator& comm) {
    const auto me = static_cast<size_t>(comm.rank());
    const std::vector<std::span<const std::byte>> send{out[2 * me]->span(), out[2 * me + 1]->span()};
    const std::vector<std::span<std::byte>> receive{in[2 * me]->span(), in[2 * me + 1]->span()};
    comm.device()->all_to_all(send, receive);
  });
  ASSERT_EQ(moved.size(), 4u);
  for (const auto& [to, pieces] : moved) {
    size_t at = 0;
    for (const auto& [offset, count] : pieces) {
      EXPECT_EQ(offset, at);
      if (pieces.size() > 1) {  // what goes to oneself is one copy
        EXPECT_LE(count, size_t{1} << 30);
      }
      at += count;
    }
    EXPECT_EQ(at, bytes);
  }
}

}  // namespace
}  // namespace gaggle
