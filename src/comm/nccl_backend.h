// Verbs over the GPUs' memory by NCCL, beside a communicator that already works (MPI): the id travels over it,
// and so do barriers and texts. A verb is put on a stream of its own and returns: what the caller computes next
// waits for it on the GPU, never on the host. A rank that does not come, or NCCL's own error, is found by a
// watching thread: it aborts what is under way, and the next verb throws SystemError.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "comm/communicator.h"
#include "comm/nccl.h"

namespace gaggle {

struct NcclOptions {
  double first_timeout_s = 1800;  // connecting, and the first verb, which connects pairs of ranks
  double timeout_s = 600;         // the verbs after it
  // The stream that the calling thread computes on; a verb starts after what is on it.
  std::function<GpuStream*()> compute_stream;
  // Called once, from any thread, when the deadline passed or NCCL failed, after the abort: the host may wait
  // for this rank elsewhere, so a real run ends the job here.
  std::function<void(const std::string& message)> on_failure;
};

// `host` with device(); its parts of two and more ranks have one too.
std::unique_ptr<Communicator> with_device(std::unique_ptr<Communicator> host, NcclTables tables, NcclOptions options);

// Longer messages travel in pieces of 1 GiB: NCCL's kernels count in 32 bits.
void set_nccl_chunk_bytes_for_test(size_t bytes);

}  // namespace gaggle
