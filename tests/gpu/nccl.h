// NCCL's fake (tests/comm/fake_nccl.h) with a GPU's memory and streams.
#pragma once

#include "../comm/nccl_ranks.h"
#include "gpu.h"
#ifdef GAGGLE_FAKE_GPU
#include "../fake_gpu/fake_gpu.h"
#endif

namespace gaggle {

inline NcclOptions gpu_options() {
  NcclOptions options = test::fake_options();
  options.compute_stream = [] { return static_cast<GpuStream*>(current_stream(gpu)); };
  return options;
}

#ifdef GAGGLE_FAKE_GPU
inline bool has_gpu_streams() { return true; }
inline test::FakeNccl fake_nccl_on_gpu(test::FakeFaults faults = {}) {
  return test::FakeNccl(faults, {}, fake_gpu::copy);
}
#else
inline bool has_gpu_streams() { return nccl_version() != 0; }
inline test::FakeNccl fake_nccl_on_gpu(test::FakeFaults faults = {}) {
  return test::FakeNccl(faults, nccl_tables(gpu.index()).gpu);
}
#endif

}  // namespace gaggle
