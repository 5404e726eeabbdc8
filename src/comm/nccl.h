// NCCL and the streams it works on as two tables of functions: a fake can stand in for both, and no header of
// CUDA is needed to build or test what uses them. https://docs.nvidia.com/deeplearning/nccl/user-guide
#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <string>

namespace gaggle {

// ncclComm_t, cudaStream_t and cudaEvent_t, or what a fake has in their place.
struct NcclComm;
struct GpuStream;
struct GpuEvent;

struct NcclId {
  std::array<char, 128> bytes{};  // ncclUniqueId
};

// ncclResult_t: these two, else an error. Everything here returns at once; "in progress" is asked for again by
// async_error before the next call.
constexpr int nccl_success = 0;
constexpr int nccl_in_progress = 7;

struct NcclCalls {
  std::function<int(NcclId& id)> unique_id;
  // `comm` may be written to until the ranks are connected.
  std::function<int(NcclComm*& comm, int ranks, const NcclId& id, int rank)> init;  // blocking = 0
  std::function<int(NcclComm* comm, int& state)> async_error;
  std::function<int(NcclComm*comm)> finalize, destroy, abort;
  std::function<int()> group_start, group_end;
  // Counts are bytes; pointers into the GPU's memory.
  std::function<int(const void* from, size_t bytes, int peer, NcclComm* comm, GpuStream* stream)> send;
  std::function<int(void* to, size_t bytes, int peer, NcclComm* comm, GpuStream* stream)> receive;
  std::function<int(const void* mine, void* all, size_t bytes, NcclComm* comm, GpuStream* stream)> all_gather;
  std::function<std::string(int result, NcclComm* comm)> error_text;
};

// The calls for one GPU. All but `use` expect that the calling thread uses it.
// All throw SystemError in CUDA's own words.
struct GpuCalls {
  std::function<void()> use;
  std::function<GpuStream*()> make_stream;
  std::function<void(GpuStream* stream)> free_stream;
  std::function<GpuEvent*()> make_event;
  std::function<void(GpuEvent* event)> free_event;
  std::function<void(GpuEvent* event, GpuStream* stream)> record;
  std::function<bool(GpuEvent* event)> done;
  std::function<void(GpuStream* stream, GpuEvent* event)> wait;
  std::function<void(void* to, const void* from, size_t bytes, GpuStream* stream)> copy;
};

struct NcclTables {
  NcclCalls nccl;
  GpuCalls gpu;
};

// 22809 for 2.28.9; 0: gaggle was built without CUDA, or libnccl.so.2 is not there or older than 2.28.
int nccl_version();
// Why nccl_version() is 0, and what to do; else "".
std::string nccl_complaint();
// The real ones for a GPU of this process. Throws UserError with nccl_complaint().
NcclTables nccl_tables(int device);

}  // namespace gaggle
