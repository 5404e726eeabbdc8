// Ranks as threads of one process: each rank posts where its data lies, all meet, each copies what it needs,
// all meet again before anybody may touch its data.
#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <map>
#include <mutex>
#include <thread>

#include "comm/pairwise.h"

namespace gaggle {
namespace {

// One lock for a world and all that was split from it: a failure anywhere releases everybody.
struct World {
  std::mutex mutex;
  std::condition_variable changed;
  double timeout_s = 0;
  std::exception_ptr first_failure;
  std::string failure;  // why everybody has to leave; "": nothing happened

  void fail(const std::string& why, std::exception_ptr error) {
    const std::lock_guard lock(mutex);
    if (!first_failure) {
      first_failure = error;
      failure = why;
    }
    changed.notify_all();
  }
};

struct Post {
  const char* verb = "";
  std::span<const std::span<const std::byte>> send;  // [size] what each rank may copy
};

// The ranks of one communicator. Everything is guarded by the world's lock; posts are only read between two meetings.
struct Group {
  explicit Group(size_t size) : posts(size), arrived(size, false) {}
  std::vector<Post> posts;
  std::vector<bool> arrived;
  uint64_t meetings = 0;
  std::map<int, std::shared_ptr<Group>> children;  // of the split under way, by colour
};

class ThreadCommunicator final : public PairwiseCommunicator {
 public:
  ThreadCommunicator(std::shared_ptr<World> world, std::shared_ptr<Group> group, int rank,
                     CollectiveRecord record = CollectiveRecord())
      : world_(std::move(world)), group_(std::move(group)), rank_(rank), record_(std::move(record)) {}

  int rank() const override { return rank_; }
  int size() const override { return static_cast<int>(group_->posts.size()); }
  std::string backend() const override { return "threads"; }

  std::unique_ptr<Communicator> split(int colour) override {
    const std::vector<int> colours = gather_values(*this, colour);
    const auto members = static_cast<size_t>(std::count(colours.begin(), colours.end(), colour));
    const auto before = std::count(colours.begin(), colours.begin() + rank_, colour);
    std::shared_ptr<Group> child;
    {
      const std::lock_guard lock(world_->mutex);
      auto& made = group_->children[colour];
      if (!made) made = std::make_shared<Group>(members);
      child = made;
    }
    barrier();
    if (rank_ == 0) {
      const std::lock_guard lock(world_->mutex);
      group_->children.clear();
    }
    barrier();
    return std::make_unique<ThreadCommunicator>(world_, child, static_cast<int>(before), record_.of_part(colour));
  }

  CollectiveRecord record_beside(const std::string& name) const override { return record_.beside(name); }
  std::string who_left() override {
    const std::lock_guard lock(world_->mutex);
    return world_->failure;
  }

 private:
  void exchange(const char* verb, size_t bytes, std::span<const std::span<const std::byte>> send,
                std::span<const std::span<std::byte>> receive) override {
    record_.begin(verb, bytes);
    const Post post{verb, send};
    meet(&post);
    for (size_t r = 0; r < receive.size(); ++r) {
      const auto from = group_->posts[r].send[static_cast<size_t>(rank_)];
      GAGGLE_CHECK(from.size() == receive[r].size(), "{}: rank {} sends {} bytes, rank {} expects {}", verb, r,
                   from.size(), rank_, receive[r].size());
      if (!from.empty()) std::memcpy(receive[r].data(), from.data(), from.size());
    }
    meet(nullptr);
    record_.end();
  }

  // Waits until every rank of the group has come. The first meeting of a collective posts; the second must
  // leave the posts alone, because a slower rank may still be copying.
  void meet(const Post* post) {
    std::unique_lock lock(world_->mutex);
    const auto me = static_cast<size_t>(rank_);
    if (post) group_->posts[me] = *post;
    group_->arrived[me] = true;
    const uint64_t meeting = group_->meetings;
    if (std::ranges::count(group_->arrived, false) == 0) {
      std::fill(group_->arrived.begin(), group_->arrived.end(), false);
      ++group_->meetings;
      world_->changed.notify_all();
    }
    const auto done = [&] { return group_->meetings != meeting || !world_->failure.empty(); };
    const bool in_time = world_->changed.wait_for(lock, std::chrono::duration<double>(world_->timeout_s), done);
    if (group_->meetings == meeting) {
      if (in_time) system_error("{} was given up: {}", record_.last_text(), world_->failure);
      std::vector<int> missing;
      for (size_t r = 0; r < group_->arrived.size(); ++r)
        if (!group_->arrived[r]) missing.push_back(static_cast<int>(r));
      system_error("{}: {} did not come within {:g} s. Last collectives of rank {}:\n{}", record_.last_text(),
                   ranks_text(missing), world_->timeout_s, rank_, record_.text());
    }
    if (!post) return;
    for (const Post& other : group_->posts)
      GAGGLE_CHECK(std::string_view(other.verb) == post->verb, "rank {} is in {}, another in {}", rank_, post->verb,
                   other.verb);
  }

  std::shared_ptr<World> world_;
  std::shared_ptr<Group> group_;
  int rank_;
  CollectiveRecord record_;
};

}  // namespace

void run_as_threads(int n, double timeout_s, const std::function<void(Communicator&)>& body) {
  GAGGLE_CHECK(n >= 1);
  const auto world = std::make_shared<World>();
  world->timeout_s = timeout_s;
  const auto group = std::make_shared<Group>(static_cast<size_t>(n));
  const auto run = [&](int rank) {
    ThreadCommunicator communicator(world, group, rank);
    try {
      body(communicator);
    } catch (const std::exception& error) {
      world->fail(fmt::format("rank {} failed: {}", rank, error_text(error)), std::current_exception());
    } catch (...) {
      world->fail(fmt::format("rank {} failed", rank), std::current_exception());
    }
  };
  {
    std::vector<std::jthread> threads;
    for (int rank = 0; rank < n; ++rank) threads.emplace_back(run, rank);
  }
  if (world->first_failure) std::rethrow_exception(world->first_failure);
}

}  // namespace gaggle
