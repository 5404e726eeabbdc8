// Threads as ranks whose device() is NCCL over a fake.
#pragma once

#include "comm/nccl_backend.h"
#include "fake_nccl.h"

namespace gaggle::test {

// Short deadlines; the calling thread is the stream that computes.
inline NcclOptions fake_options(double first_timeout_s = 60, double timeout_s = 60) {
  return {first_timeout_s, timeout_s, [] { return nullptr; }, {}};
}

inline void run_with_nccl(int ranks, FakeNccl& fake, const NcclOptions& options,
                          const std::function<void(Communicator&)>& body) {
  run_as_threads(ranks, 60, [&](Communicator& world) {
    const auto comm = with_device(world.split(0), fake.tables(), options);
    body(*comm);
  });
}

}  // namespace gaggle::test
