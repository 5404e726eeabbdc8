// One NCCL communicator with its stream: connected, watched, aborted. The verbs are nccl_communicator.cpp's.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "comm/nccl_backend.h"
#include "comm/record.h"

namespace gaggle {

class NcclLink {
 public:
  // Collective over `host`. Throws SystemError where a rank does not come or NCCL fails.
  NcclLink(std::shared_ptr<Communicator> host, std::shared_ptr<const NcclTables> tables, NcclOptions options);
  ~NcclLink();
  NcclLink(const NcclLink&) = delete;
  NcclLink& operator=(const NcclLink&) = delete;

  // A verb is begin(), any number of groups and copies, end(). Peers: whom it waits for.
  void begin(const char* verb, size_t bytes, std::vector<int> peers);
  // NCCL calls that form one group; `post` returns their worst result. Back when all are on the stream.
  void group(const std::function<int(const NcclCalls& nccl, NcclComm* comm, GpuStream* stream)>& post);
  void copy(void* to, const void* from, size_t bytes);
  void end();

 private:
  struct Verb {
    uint64_t number = 0;
    std::string text;  // "all_to_all (collective 17 of world over NCCL)"
    std::vector<int> peers;
    GpuEvent* ready = nullptr;  // what this rank computed before it
    GpuEvent* done = nullptr;
    double since = -1;  // monotonic seconds when `ready` was seen; -1: not yet
  };

  void connect();
  Verb new_verb(const char* verb, size_t bytes, std::vector<int> peers);
  // Until NCCL has done what it answered `result` to; `what` says so in a message.
  void await(const char* what, int result);
  void watch();
  // What is wrong with the oldest pending verb, "" where nothing is; takes off what is done.
  std::string look(const std::string& gone);
  int state() const;
  bool healthy();
  std::string error_text(const Verb& verb, const char* what, int result) const;
  std::string late_text(const Verb& verb, const char* what) const;
  // The first one counts. Aborts, then tells on_failure if the job has to end.
  void fail(const std::string& message, bool ends_job);
  void leave();
  double timeout_s() const { return first_over_ ? options_.timeout_s : options_.first_timeout_s; }

  std::shared_ptr<Communicator> host_;
  std::shared_ptr<const NcclTables> tables_;
  NcclOptions options_;
  GpuStream* stream_ = nullptr;
  Verb current_;  // of the thread that calls verbs

  // NCCL's communicator is used by one thread at a time, and by nobody but the abort once `failure_` is set.
  std::mutex mutex_;
  NcclComm* comm_ = nullptr;
  std::string failure_;
  bool first_over_ = false;
  double looked_at_ = 0;  // at pending verbs
  bool leaving_ = false;
  std::condition_variable changed_;
  std::deque<Verb> pending_;  // on the stream, oldest first
  std::vector<GpuEvent*> free_events_, all_events_;
  CollectiveRecord record_;
  std::thread watcher_;
};

}  // namespace gaggle
