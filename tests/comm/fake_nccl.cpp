#include "fake_nccl.h"

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <vector>

#include "base/error.h"

namespace gaggle {

// What stands behind the opaque handles.
struct GpuEvent {
  bool done = true;  // as CUDA's: one that was never recorded
};
struct GpuStream {
  std::deque<std::function<bool()>> work;  // each says when it is over
};
struct NcclComm {
  uint64_t job = 0;
  int rank = 0, ranks = 0;
  int polls = 0;  // still to be answered "in progress"
  int groups = 0;
  int open = 0;  // posts on a GPU that their partners have not met
  int error = nccl_success;
  bool aborted = false;
};

}  // namespace gaggle

namespace gaggle::test {

static constexpr int system_failure = 2, invalid_usage = 5, remote_failure = 6;

// The posts of one rank between group_start and group_end.
struct PostedGroup {
  NcclComm* comm = nullptr;
  GpuStream* stream = nullptr;
  GpuEvent* ready = nullptr;  // on a GPU: what was on the stream before
  size_t open = 0;            // posts that have not met theirs
  bool started = false, silent = false;
};
struct Post {
  bool sends = false;
  const void* from = nullptr;
  void* to = nullptr;
  size_t bytes = 0;
  int peer = 0;
  std::shared_ptr<PostedGroup> group;
};

// NCCL's groups belong to the calling thread.
static thread_local std::vector<Post> posts;
static thread_local PostedGroup next_group;

struct FakeNccl::Engine {
  using Pair = std::tuple<uint64_t, int, int>;  // job, from, to

  FakeFaults faults;
  std::optional<GpuCalls> gpu;
  Copy move;
  std::mutex mutex;
  std::condition_variable changed;
  uint64_t jobs = 0;
  int aborts = 0, alive = 0;
  std::map<uint64_t, int> joined;  // ranks that have come to each job
  std::map<Pair, std::deque<Post>> sends, receives;
  std::vector<std::unique_ptr<NcclComm>> comms;
  std::vector<GpuStream*> streams;
  std::vector<GpuEvent*> gpu_events;

  // Works off whatever can go on, on every stream. Under the lock, as all below.
  void progress() {
    for (bool moved = true; moved;) {
      moved = false;
      for (GpuStream* stream : streams)
        while (!stream->work.empty() && stream->work.front()()) {
          stream->work.pop_front();
          moved = true;
        }
    }
    changed.notify_all();
  }

  void enqueue(GpuStream* stream, std::function<bool()> work) {
    std::unique_lock lock(mutex);
    if (stream) {
      stream->work.push_back(std::move(work));
      return progress();
    }
    changed.wait(lock, work);
    progress();
  }

  bool connected(const NcclComm& comm) { return faults.init_never_on < 0 && joined[comm.job] == comm.ranks; }

  int init(NcclComm*& comm, int ranks, const NcclId& id, int rank) {
    const std::lock_guard lock(mutex);
    if (rank == faults.init_fails_on) return system_failure;
    comms.push_back(std::make_unique<NcclComm>());
    comm = comms.back().get();
    std::memcpy(&comm->job, id.bytes.data(), sizeof comm->job);
    comm->rank = rank;
    comm->ranks = ranks;
    comm->polls = faults.init_polls;
    ++joined[comm->job];
    ++alive;
    return nccl_in_progress;
  }

  int async_error(NcclComm* comm, int& state) {
    const std::lock_guard lock(mutex);
    GAGGLE_CHECK(!comm->aborted, "NCCL is asked for the state of a communicator that is gone");
    state = comm->error;
    if (state != nccl_success) return nccl_success;
    if (!connected(*comm) || comm->open > 0 || comm->polls > 0) state = nccl_in_progress;
    if (comm->polls > 0) --comm->polls;
    return nccl_success;
  }

  int abort(NcclComm* comm) {
    const std::lock_guard lock(mutex);
    GAGGLE_CHECK(!comm->aborted, "a communicator is aborted twice");
    comm->aborted = true;
    ++aborts;
    --alive;
    for (auto* side : {&sends, &receives})
      for (auto& [pair, queue] : *side)
        std::erase_if(queue, [&](const Post& post) { return post.group->comm == comm; });
    progress();
    return nccl_success;
  }

  int end_group() {
    std::vector<Post> mine;
    mine.swap(posts);
    const auto group = std::make_shared<PostedGroup>(next_group);
    if (mine.empty()) return nccl_success;
    group->open = mine.size();
    for (Post& post : mine) post.group = group;
    NcclComm& comm = *group->comm;
    {
      const std::lock_guard lock(mutex);
      GAGGLE_CHECK(connected(comm) && comm.polls == 0 && !comm.aborted, "NCCL is not ready for a group");
      comm.polls = faults.start_polls;
      if (++comm.groups > faults.error_after) comm.error = remote_failure;
      group->silent = comm.rank == faults.silent_rank && comm.groups > faults.silent_after;
      if (gpu) {
        group->ready = event_on(group->stream);
        comm.open += static_cast<int>(mine.size());
        if (!group->silent) start(mine);
        return comm.open > 0 || comm.polls > 0 ? nccl_in_progress : nccl_success;
      }
    }
    const int polls = comm.polls;
    enqueue(group->stream, [this, group, mine] {
      if (group->comm->aborted) return true;
      if (group->silent) return false;
      if (!group->started) start(mine);
      group->started = true;
      return group->open == 0;
    });
    return polls > 0 ? nccl_in_progress : nccl_success;
  }

  void start(const std::vector<Post>& mine) {
    for (const Post& post : mine) {
      const NcclComm& comm = *post.group->comm;
      const Pair pair = post.sends ? Pair{comm.job, comm.rank, post.peer} : Pair{comm.job, post.peer, comm.rank};
      (post.sends ? sends : receives)[pair].push_back(post);
      while (!sends[pair].empty() && !receives[pair].empty()) {
        meet(sends[pair].front(), receives[pair].front());
        sends[pair].pop_front();
        receives[pair].pop_front();
      }
    }
  }

  void meet(const Post& out, const Post& in) {
    if (out.bytes != in.bytes) {
      out.group->comm->error = in.group->comm->error = invalid_usage;
      return;
    }
    if (gpu) {
      gpu->wait(in.group->stream, out.group->ready);
      gpu->copy(in.to, out.from, in.bytes, in.group->stream);
      gpu->wait(out.group->stream, event_on(in.group->stream));
      --out.group->comm->open;
      --in.group->comm->open;
    } else {
      move(in.to, out.from, in.bytes);
    }
    --out.group->open;
    --in.group->open;
  }

  GpuEvent* event_on(GpuStream* stream) {
    gpu_events.push_back(gpu->make_event());
    gpu->record(gpu_events.back(), stream);
    return gpu_events.back();
  }

  NcclCalls nccl_calls(const std::shared_ptr<Engine>& self) {
    NcclCalls calls;
    calls.unique_id = [self](NcclId& id) {
      const std::lock_guard lock(self->mutex);
      ++self->jobs;
      std::memcpy(id.bytes.data(), &self->jobs, sizeof self->jobs);
      return nccl_success;
    };
    calls.init = [self](NcclComm*& comm, int ranks, const NcclId& id, int rank) {
      return self->init(comm, ranks, id, rank);
    };
    calls.async_error = [self](NcclComm* comm, int& state) { return self->async_error(comm, state); };
    calls.finalize = [](NcclComm*) { return nccl_success; };
    calls.destroy = [self](NcclComm* comm) {
      const std::lock_guard lock(self->mutex);
      --self->alive;
      comm->aborted = true;
      return nccl_success;
    };
    calls.abort = [self](NcclComm* comm) { return self->abort(comm); };
    calls.group_start = [] { return nccl_success; };
    calls.group_end = [self] { return self->end_group(); };
    calls.send = [](const void* from, size_t bytes, int peer, NcclComm* comm, GpuStream* stream) {
      next_group = {comm, stream};
      posts.push_back({true, from, nullptr, bytes, peer, nullptr});
      return nccl_success;
    };
    calls.receive = [](void* to, size_t bytes, int peer, NcclComm* comm, GpuStream* stream) {
      next_group = {comm, stream};
      posts.push_back({false, nullptr, to, bytes, peer, nullptr});
      return nccl_success;
    };
    calls.all_gather = [calls](const void* mine, void* all, size_t bytes, NcclComm* comm, GpuStream* stream) {
      for (int r = 0; r < comm->ranks; ++r) {
        calls.send(mine, bytes, r, comm, stream);
        calls.receive(static_cast<std::byte*>(all) + static_cast<size_t>(r) * bytes, bytes, r, comm, stream);
      }
      return nccl_success;
    };
    calls.error_text = [](int result, NcclComm*) -> std::string {
      return result == system_failure  ? "unhandled system error"
             : result == invalid_usage ? "invalid usage"
                                       : "remote process exited";
    };
    return calls;
  }

  static GpuCalls cpu_calls(const std::shared_ptr<Engine>& self) {
    GpuCalls calls;
    calls.use = [] {};
    calls.make_stream = [self] {
      const std::lock_guard lock(self->mutex);
      self->streams.push_back(new GpuStream);
      return self->streams.back();
    };
    calls.free_stream = [self](GpuStream* stream) {
      const std::lock_guard lock(self->mutex);
      std::erase(self->streams, stream);
      delete stream;
    };
    calls.make_event = [] { return new GpuEvent; };
    calls.free_event = [](GpuEvent* event) { delete event; };
    calls.record = [self](GpuEvent* event, GpuStream* stream) {
      {
        const std::lock_guard lock(self->mutex);
        event->done = false;
      }
      self->enqueue(stream, [event] { return event->done = true; });
    };
    calls.done = [self](GpuEvent* event) {
      const std::lock_guard lock(self->mutex);
      return event->done;
    };
    calls.wait = [self](GpuStream* stream, GpuEvent* event) { self->enqueue(stream, [event] { return event->done; }); };
    calls.copy = [self](void* to, const void* from, size_t bytes, GpuStream* stream) {
      self->enqueue(stream, [self, to, from, bytes] {
        self->move(to, from, bytes);
        return true;
      });
    };
    return calls;
  }
};

FakeNccl::FakeNccl(FakeFaults faults, std::optional<GpuCalls> gpu, Copy copy) : engine_(std::make_shared<Engine>()) {
  engine_->faults = faults;
  engine_->gpu = std::move(gpu);
  engine_->move = copy ? copy : [](void* to, const void* from, size_t bytes) {
    if (bytes > 0) std::memcpy(to, from, bytes);
  };
}

FakeNccl::~FakeNccl() {
  for (GpuEvent* event : engine_->gpu_events) engine_->gpu->free_event(event);
}

NcclTables FakeNccl::tables() {
  return {engine_->nccl_calls(engine_), engine_->gpu ? *engine_->gpu : Engine::cpu_calls(engine_)};
}

GpuEvent* FakeNccl::make_gate() { return new GpuEvent{false}; }

void FakeNccl::open(GpuEvent* gate) {
  const std::lock_guard lock(engine_->mutex);
  gate->done = true;
  engine_->progress();
}

int FakeNccl::aborts() const {
  const std::lock_guard lock(engine_->mutex);
  return engine_->aborts;
}

int FakeNccl::groups() const {
  const std::lock_guard lock(engine_->mutex);
  int groups = 0;
  for (const auto& comm : engine_->comms) groups += comm->groups;
  return groups;
}

int FakeNccl::communicators() const {
  const std::lock_guard lock(engine_->mutex);
  return engine_->alive;
}

}  // namespace gaggle::test
