// NCCL without GPUs, or with one: threads are the ranks, sends meet receives by pair and order as in NCCL, and
// it can be told to be slow, to fail, or to stay silent.
#pragma once

#include <memory>
#include <optional>

#include "comm/nccl.h"

namespace gaggle::test {

struct FakeFaults {
  int init_polls = 0;         // "in progress" so often before the ranks are connected
  int start_polls = 0;        // and so often after each group
  int init_fails_on = -1;     // this rank's init is an error
  int init_never_on = -1;     // this rank never connects, so nobody does
  int silent_rank = -1;       // its groups never start
  int silent_after = 0;       // but for the first so many
  int error_after = 1 << 30;  // groups of a communicator, then an asynchronous error
};

// One job. On the CPU, streams are worked off in order by whoever comes by; the null stream is the calling
// thread, for which waiting is really waiting. With a GPU's own calls, data is copied on its streams, which a
// rank's group enters when all partners have posted theirs.
class FakeNccl {
 public:
  // Moves `bytes` of one message on the CPU.
  using Copy = std::function<void(void* to, const void* from, size_t bytes)>;
  explicit FakeNccl(FakeFaults faults = {}, std::optional<GpuCalls> gpu = {}, Copy copy = {});
  ~FakeNccl();

  NcclTables tables();  // for every rank
  // On the CPU: an event that is not done before it is opened.
  GpuEvent* make_gate();
  void open(GpuEvent* gate);
  int aborts() const;
  int groups() const;         // begun, of all ranks together
  int communicators() const;  // connected and not yet destroyed or aborted

 private:
  struct Engine;
  std::shared_ptr<Engine> engine_;
};

}  // namespace gaggle::test
