// The communicator's verbs on a GPU: real NCCL with one rank, with several on one GPU where it can, and the
// fake that copies on the GPU's streams.
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include "../comm/verbs.h"
#include "nccl.h"

namespace gaggle {
namespace {

at::Tensor on_gpu(std::span<const std::byte> here) {
  return at::from_blob(const_cast<std::byte*>(here.data()), {static_cast<int64_t>(here.size())},
                       at::TensorOptions(gpu).dtype(at::kByte));
}

// Writes and reads follow the calling thread's stream.
test::Memory gpu_memory() {
  test::Memory memory;
  memory.make = [](size_t bytes) {
    const at::Tensor held = at::empty({static_cast<int64_t>(bytes)}, at::TensorOptions(gpu).dtype(at::kByte));
    return std::shared_ptr<std::byte>(static_cast<std::byte*>(held.data_ptr()), [held](std::byte*) {});
  };
  memory.write = [](std::span<std::byte> here, std::span<const std::byte> content) {
    const std::vector<std::byte> copy(content.begin(), content.end());
    if (!here.empty())
      on_gpu(here).copy_(
          at::from_blob(const_cast<std::byte*>(copy.data()), {static_cast<int64_t>(copy.size())}, at::kByte));
  };
  memory.read = [](std::span<const std::byte> here, std::span<std::byte> content) {
    if (here.empty()) return;
    const at::Tensor cpu = on_gpu(here).cpu();
    std::memcpy(content.data(), cpu.const_data_ptr(), content.size());
  };
  return memory;
}

class Comm : public Gpu {
 protected:
  void SetUp() override {
    Gpu::SetUp();
    if (!IsSkipped() && !has_gpu_streams()) GTEST_SKIP() << nccl_complaint();
  }
  ~Comm() override { set_nccl_chunk_bytes_for_test(size_t{1} << 30); }
};

// In one piece, then in pieces of 1000 bytes.
void expect_verbs(int ranks, const std::function<NcclTables()>& tables) {
  for (const size_t chunk : {1 << 30, 1000}) {
    set_nccl_chunk_bytes_for_test(chunk);
    run_as_threads(ranks, 120, [&](Communicator& world) {
      const c10::impl::VirtualGuardImpl cuda(gpu.type());
      const c10::StreamGuard own_stream(cuda.getStreamFromGlobalPool(gpu));
      const auto comm = with_device(world.split(0), tables(), gpu_options());
      test::expect_all_verbs(*comm->device(), gpu_memory());
    });
  }
}

TEST_F(Comm, EveryVerbOfNcclWithOneRank) {
  if (nccl_version() == 0) GTEST_SKIP() << nccl_complaint();
  std::printf("NCCL %d\n", nccl_version());
  expect_verbs(1, [] { return nccl_tables(gpu.index()); });
}

TEST_F(Comm, EveryVerbOfNcclWithSeveralRanksOnOneGpu) {
  const char* const enabled = std::getenv("NCCL_MULTI_RANK_GPU_ENABLE");
  if (nccl_version() < 23000 || !enabled || std::string_view(enabled) != "1")
    GTEST_SKIP() << "several ranks on one GPU need NCCL 2.30 (this is " << nccl_version()
                 << ") and NCCL_MULTI_RANK_GPU_ENABLE=1";
  for (const int ranks : {2, 4}) expect_verbs(ranks, [] { return nccl_tables(gpu.index()); });
}

TEST_F(Comm, EveryVerbOfTheFakeOnTheGpusStreams) {
  for (const int ranks : {2, 4, 8}) {
    test::FakeNccl fake = fake_nccl_on_gpu({.init_polls = 1});
    expect_verbs(ranks, [&] { return fake.tables(); });
    EXPECT_EQ(fake.communicators(), 0);
    EXPECT_EQ(fake.aborts(), 0);
  }
}

}  // namespace
}  // namespace gaggle
