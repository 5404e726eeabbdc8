// A GPU that is none: a backend of LibTorch (PrivateUse1) whose memory only its operators can touch. They run on the CPU and are
// counted, so that what a GPU would pay (launches, waits of the host, copies between the two) is a number in a test, and
// a loop over device memory or a forgotten copy is a crash. Linking it makes it the accelerator of the program;
// GAGGLE_FAKE_GPUS is their number (1), GAGGLE_FAKE_GPU_BYTES the memory of each (80 GiB).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace gaggle::fake_gpu {

// What the device was asked for, by all threads.
struct Counts {
  int64_t launches = 0;  // of kernels: an operator is one, unless CUDA needs several for it (operators.cpp)
  int64_t waits =
      0;  // of the host for the device: values read, copies that nothing pinned stands behind, shapes from data
  int64_t copies = 0;  // between host and device
};
Counts counted();
Counts operator-(const Counts& later, const Counts& earlier);
// The operators since the last call with how often each came, most often first, one a line: what to look at when a budget
// is exceeded.
std::string take_list_of_operators();

void count_launches(int64_t launches);
void count_wait();

// A GPU's memory; nobody may touch it but through Opened.
void* allocate(size_t bytes);  // throws c10::OutOfMemoryError where more than all of it would be held
void copy(void* to, const void* from, size_t bytes);  // both its own
void release(void* base);
int64_t all_bytes();
int64_t bytes_held();
int64_t most_bytes_held();  // since reset_most_bytes_held
void reset_most_bytes_held();

// While it lives, the allocation that p points into can be read and written. Throws std::logic_error if p is no device
// memory, but where it is null.
class Opened {
 public:
  explicit Opened(const void* p);
  ~Opened();
  Opened(const Opened&) = delete;
  Opened& operator=(const Opened&) = delete;

 private:
  const void* p_;
};

}  // namespace gaggle::fake_gpu
