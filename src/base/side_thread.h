// Work beside the thread that hands it out.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <mutex>
#include <thread>

namespace gaggle {

// Does what it is given, one after the other, on a thread of its own. Leaving waits for all of it.
class SideThread {
 public:
  SideThread();
  ~SideThread();
  SideThread(const SideThread&) = delete;
  // When it is done, or what it threw.
  std::shared_future<void> run(std::function<void()> work);

 private:
  void follow();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::packaged_task<void()>> waiting_;
  bool leaving_ = false;
  std::thread thread_;
};

}  // namespace gaggle
