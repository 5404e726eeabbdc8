#include <ucontext.h>

#include <cstdlib>
#include <memory>
#include <vector>

#include "fake_gpu.h"
#include "shim/cuda_runtime.h"

thread_local uint3 threadIdx, blockIdx;

namespace {

constexpr size_t stack_bytes = 64 << 10;

// The threads of one block, each until its next barrier, in order.
struct Block {
  ucontext_t scheduler{};
  std::vector<ucontext_t> fibers;
  std::vector<std::unique_ptr<char[]>> stacks;
  std::vector<bool> ended;
  const std::function<void()>* thread = nullptr;
  unsigned now = 0;
};
thread_local Block* running = nullptr;

void fiber() {
  Block& block = *running;
  const unsigned own = block.now;
  (*block.thread)();
  block.ended[own] = true;
  swapcontext(&block.fibers[own], &block.scheduler);
}

void run(Block& block, unsigned threads) {
  block.ended.assign(threads, false);
  for (unsigned t = 0; t < threads; ++t) {
    getcontext(&block.fibers[t]);
    block.fibers[t].uc_stack = {block.stacks[t].get(), 0, stack_bytes};
    block.fibers[t].uc_link = nullptr;
    makecontext(&block.fibers[t], fiber, 0);
  }
  for (size_t left = threads; left > 0;) {
    left = 0;
    for (unsigned t = 0; t < threads; ++t) {
      if (block.ended[t]) continue;
      block.now = t;
      threadIdx = {t, 0, 0};
      swapcontext(&block.scheduler, &block.fibers[t]);
      if (!block.ended[t]) ++left;
    }
    // CUDA calls this undefined: some threads wait at a barrier that others have passed by.
    if (left != 0 && left != threads) std::abort();
  }
}

}  // namespace

void __syncthreads() {
  Block& block = *running;
  swapcontext(&block.fibers[block.now], &block.scheduler);
}

void shim_launch(unsigned blocks, unsigned threads, const std::vector<const void*>& pointers,
                 const std::function<void()>& thread) {
  std::vector<std::unique_ptr<gaggle::fake_gpu::Opened>> open;
  for (const void* p : pointers) open.push_back(std::make_unique<gaggle::fake_gpu::Opened>(p));
  gaggle::fake_gpu::count_launches(1);
  Block block;
  block.thread = &thread;
  block.fibers.resize(threads);
  for (unsigned t = 0; t < threads; ++t) block.stacks.emplace_back(new char[stack_bytes]);
  running = &block;
  for (unsigned b = 0; b < blocks; ++b) {
    blockIdx = {b, 0, 0};
    run(block, threads);
  }
  running = nullptr;
}

cudaError_t cudaGetDeviceCount(int* count) {
  const char* given = std::getenv("GAGGLE_FAKE_GPUS");
  *count = given ? std::atoi(given) : 1;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  *properties = {};
  properties->uuid.bytes[15] = static_cast<char>(device + 1);
  properties->pciBusID = device;
  return cudaSuccess;
}
