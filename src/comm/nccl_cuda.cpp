// The real tables: libnccl.so.2 is opened by name (LibTorch has loaded it already where it brings one), CUDA's
// runtime is LibTorch's own. Built only where nvcc and nccl.h are found (cmake/rooms.cmake).
#include <cuda_runtime.h>
#include <dlfcn.h>
#include <nccl.h>

#include <cstring>

#include "base/error.h"
#include "comm/nccl.h"

namespace gaggle {
namespace {

static_assert(sizeof(NcclId) == sizeof(ncclUniqueId));
static_assert(nccl_success == ncclSuccess && nccl_in_progress == ncclInProgress);

constexpr int oldest_version = NCCL_VERSION(2, 28, 0);

ncclComm_t real(NcclComm* comm) { return reinterpret_cast<ncclComm_t>(comm); }
cudaStream_t real(GpuStream* stream) { return reinterpret_cast<cudaStream_t>(stream); }
cudaEvent_t real(GpuEvent* event) { return reinterpret_cast<cudaEvent_t>(event); }

void check(cudaError_t result, const char* call) {
  if (result != cudaSuccess) system_error("{}: {}", call, cudaGetErrorString(result));
}

// Functions by NCCL's declarations, found by their names.
struct Library {
  void* handle = nullptr;
  int version = 0;
  std::string complaint;

  Library() {
    handle = ::dlopen("libnccl.so.2", RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
      complaint = fmt::format(
          "NCCL was not found ({}): install it (pip install nvidia-nccl-cu13, or the system's libnccl2) "
          "and put its folder into LD_LIBRARY_PATH, or set comm.backend = \"mpi\"",
          ::dlerror());
      return;
    }
    const auto ask = find<decltype(&ncclGetVersion)>("ncclGetVersion");
    if (ask(&version) != ncclSuccess) version = 0;
    if (version < oldest_version) {
      complaint = fmt::format(
          "gaggle needs NCCL 2.28 or newer, libnccl.so.2 is {}.{}.{}: install a newer one, or set "
          "comm.backend = \"mpi\"",
          version / 10000, version / 100 % 100, version % 100);
      version = 0;
    }
  }

  template <class Function>
  Function find(const char* name) const {
    void* const found = ::dlsym(handle, name);
    if (!found) system_error("libnccl.so.2 has no {}: it is broken or very old", name);
    return reinterpret_cast<Function>(found);
  }
};

const Library& library() {
  static const Library instance;
  return instance;
}

NcclCalls nccl_calls() {
  const Library& nccl = library();
  NcclCalls calls;
  calls.unique_id = [get = nccl.find<decltype(&ncclGetUniqueId)>("ncclGetUniqueId")](NcclId& id) -> int {
    return get(reinterpret_cast<ncclUniqueId*>(id.bytes.data()));
  };
  calls.init = [init = nccl.find<decltype(&ncclCommInitRankConfig)>("ncclCommInitRankConfig")](
                   NcclComm*& comm, int ranks, const NcclId& id, int rank) -> int {
    ncclUniqueId theirs;
    std::memcpy(&theirs, id.bytes.data(), sizeof theirs);
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    // NCCL may write there until the ranks are connected.
    return init(reinterpret_cast<ncclComm_t*>(&comm), ranks, theirs, rank, &config);
  };
  calls.async_error = [get = nccl.find<decltype(&ncclCommGetAsyncError)>("ncclCommGetAsyncError")](NcclComm* comm,
                                                                                                   int& state) -> int {
    ncclResult_t theirs = ncclSuccess;
    const ncclResult_t result = get(real(comm), &theirs);
    state = theirs;
    return result;
  };
  const auto on_comm = [&](const char* name) {
    return [call = nccl.find<decltype(&ncclCommAbort)>(name)](NcclComm* comm) -> int { return call(real(comm)); };
  };
  calls.finalize = on_comm("ncclCommFinalize");
  calls.destroy = on_comm("ncclCommDestroy");
  calls.abort = on_comm("ncclCommAbort");
  calls.group_start = nccl.find<decltype(&ncclGroupStart)>("ncclGroupStart");
  calls.group_end = nccl.find<decltype(&ncclGroupEnd)>("ncclGroupEnd");
  calls.send = [send = nccl.find<decltype(&ncclSend)>("ncclSend")](const void* from, size_t bytes, int peer,
                                                                   NcclComm* comm, GpuStream* stream) -> int {
    return send(from, bytes, ncclUint8, peer, real(comm), real(stream));
  };
  calls.receive = [receive = nccl.find<decltype(&ncclRecv)>("ncclRecv")](void* to, size_t bytes, int peer,
                                                                         NcclComm* comm, GpuStream* stream) -> int {
    return receive(to, bytes, ncclUint8, peer, real(comm), real(stream));
  };
  calls.all_gather = [gather = nccl.find<decltype(&ncclAllGather)>("ncclAllGather")](
                         const void* mine, void* all, size_t bytes, NcclComm* comm, GpuStream* stream) -> int {
    return gather(mine, all, bytes, ncclUint8, real(comm), real(stream));
  };
  calls.error_text = [text = nccl.find<decltype(&ncclGetErrorString)>("ncclGetErrorString"),
                      last = nccl.find<decltype(&ncclGetLastError)>("ncclGetLastError")](
                         int result, NcclComm* comm) -> std::string {
    const char* details = last(real(comm));
    return fmt::format("{}{}{}", text(static_cast<ncclResult_t>(result)), details && *details ? ": " : "",
                       details ? details : "");
  };
  return calls;
}

GpuCalls gpu_calls(int device) {
  GpuCalls calls;
  calls.use = [device] { check(cudaSetDevice(device), "cudaSetDevice"); };
  // Non-blocking: never in step with the default stream, which is the one that LibTorch computes on.
  calls.make_stream = [] {
    cudaStream_t stream = nullptr;
    check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
    return reinterpret_cast<GpuStream*>(stream);
  };
  calls.free_stream = [](GpuStream* stream) { check(cudaStreamDestroy(real(stream)), "cudaStreamDestroy"); };
  calls.make_event = [] {
    cudaEvent_t event = nullptr;
    check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "cudaEventCreateWithFlags");
    return reinterpret_cast<GpuEvent*>(event);
  };
  calls.free_event = [](GpuEvent* event) { check(cudaEventDestroy(real(event)), "cudaEventDestroy"); };
  calls.record = [](GpuEvent* event, GpuStream* stream) {
    check(cudaEventRecord(real(event), real(stream)), "cudaEventRecord");
  };
  calls.done = [](GpuEvent* event) {
    const cudaError_t result = cudaEventQuery(real(event));
    if (result == cudaErrorNotReady) return false;
    check(result, "cudaEventQuery");
    return true;
  };
  calls.wait = [](GpuStream* stream, GpuEvent* event) {
    check(cudaStreamWaitEvent(real(stream), real(event), 0), "cudaStreamWaitEvent");
  };
  calls.copy = [](void* to, const void* from, size_t bytes, GpuStream* stream) {
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, real(stream)), "cudaMemcpyAsync");
  };
  return calls;
}

}  // namespace

int nccl_version() { return library().version; }

std::string nccl_complaint() { return library().complaint; }

NcclTables nccl_tables(int device) {
  if (nccl_version() == 0) user_error("{}", nccl_complaint());
  return {nccl_calls(), gpu_calls(device)};
}

}  // namespace gaggle
